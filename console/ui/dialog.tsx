/** A modal dialog: the browser keeps the focus inside, closes it on Escape, and returns the focus afterwards. */
import { signal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Button } from './basics.tsx';
import { Toasts } from './toast.tsx';

/** While a dialog is open, the rest of the page is inert: messages appear in the dialog. */
export const openDialogs = signal(0);

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  /** Shown at the bottom, at the right. */
  actions?: ComponentChildren;
  wide?: boolean;
}

export function Dialog({ title, onClose, children, actions, wide = false }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    if (dialog?.open === false) dialog.showModal();
    openDialogs.value += 1;
    return () => {
      openDialogs.value -= 1;
      dialog?.close();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? 'dialog wide' : 'dialog'}
      aria-label={title}
      onClose={onClose}
      onClick={(event) => {
        // A click outside is one on the backdrop, which belongs to the dialog itself.
        if (event.target === element.current) onClose();
      }}
    >
      <div class="dialog-box">
        <header>
          <h2>{title}</h2>
          <Button kind="quiet" icon="close" label="Close" onClick={onClose} />
        </header>
        <div class="dialog-body">{children}</div>
        {actions !== undefined && <footer>{actions}</footer>}
      </div>
      <Toasts />
    </dialog>
  );
}
