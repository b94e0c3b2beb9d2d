/**
 * Keys. One listener for the page: single keys and sequences (`g t`), never while the user types, and never with a
 * modifier, which belongs to the browser. Screens add keys while they are shown.
 */
import { useEffect, useRef } from 'preact/hooks';

export interface KeyBinding {
  /** One key, or two pressed one after the other: `?`, `g t`. */
  keys: string;
  /** For the overlay; empty: not listed. */
  does: string;
  run: () => void;
}

const active = new Set<readonly KeyBinding[]>();
const sequenceMs = 1_000;
let pending = '';
let pendingAt = 0;

/** All keys of the page and its screen, in the order in which they were added. */
export function listKeys(): KeyBinding[] {
  return [...active].flat().filter(({ does }) => does !== '');
}

export function useKeys(bindings: readonly KeyBinding[]): void {
  const latest = useRef(bindings);
  latest.current = bindings;
  useEffect(() => {
    // Runs what the binding does now, not what it did when the screen was first shown.
    const live = bindings.map(({ keys, does }, index) => ({
      keys,
      does,
      run: () => latest.current[index]?.run(),
    }));
    active.add(live);
    return () => void active.delete(live);
    // A screen for operators appears when the scopes of the user are known.
  }, [bindings.map(({ keys }) => keys).join('\n')]);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  return target.isContentEditable || target.matches('input:not([type=checkbox]), textarea, select');
}

/** Enter and space press the button or the link that has the focus. */
function isPress({ key, target }: KeyboardEvent): boolean {
  if (key !== 'Enter' && key !== ' ') return false;
  return target instanceof HTMLElement && target.matches('a, button, summary, input');
}

function handle(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
    return;
  if (isPress(event) || document.querySelector('dialog[open]') !== null) return;
  const now = performance.now();
  const sequence = pending !== '' && now - pendingAt < sequenceMs ? `${pending} ${event.key}` : event.key;
  const bindings = [...active].flat();
  // The newest addition wins: a screen may use a key of the page.
  const found =
    bindings.findLast(({ keys }) => keys === sequence) ?? bindings.findLast(({ keys }) => keys === event.key);
  pending = bindings.some(({ keys }) => keys.startsWith(`${event.key} `)) ? event.key : '';
  pendingAt = now;
  if (found === undefined) return;
  pending = '';
  event.preventDefault();
  found.run();
}

document.addEventListener('keydown', handle);
