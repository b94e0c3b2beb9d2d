/**
 * A long list of rows of one height, of which only those in view are in the document. It scrolls with its own box and
 * asks for more entries before its end is reached.
 */
import type { ComponentChildren, JSX, RefObject } from 'preact';
import { useEffect, useLayoutEffect, useState } from 'preact/hooks';

interface VirtualListProps<T> {
  items: readonly T[];
  rowHeight: number;
  render: (item: T, index: number) => ComponentChildren;
  box: RefObject<HTMLDivElement>;
  /** Called when the last rows come into view. */
  onEnd: () => void;
  /** Called with the items in view when scrolling has stopped. */
  onView?: (items: readonly T[]) => void;
}

const overscan = 8;
const settleMs = 120;

export function VirtualList<T>(props: VirtualListProps<T>): JSX.Element {
  const { items, rowHeight, render, box, onEnd, onView } = props;
  const [view, setView] = useState({ first: 0, last: 30 });
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const measure = (): void => {
      const first = Math.max(0, Math.floor(element.scrollTop / rowHeight) - overscan);
      const last = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + overscan;
      setView((known) => (known.first === first && known.last === last ? known : { first, last }));
    };
    measure();
    element.addEventListener('scroll', measure, { passive: true });
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => {
      element.removeEventListener('scroll', measure);
      observer.disconnect();
    };
  }, [rowHeight]);
  useEffect(() => {
    if (view.last + overscan >= items.length) onEnd();
    const timer = setTimeout(() => onView?.(items.slice(view.first, view.last)), settleMs);
    return () => clearTimeout(timer);
  }, [view, items]);
  const shown = items.slice(view.first, view.last);
  return (
    <div class="virtual" role="presentation" style={{ height: `${items.length * rowHeight}px` }}>
      <div role="presentation" style={{ transform: `translateY(${view.first * rowHeight}px)` }}>
        {shown.map((item, index) => render(item, view.first + index))}
      </div>
    </div>
  );
}
