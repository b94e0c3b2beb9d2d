/** Short messages about what an action did. They are announced, and disappear; errors stay until they are closed. */
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { Button } from './basics.tsx';

interface Toast {
  id: number;
  text: string;
  isError: boolean;
}

const toasts = signal<readonly Toast[]>([]);
let count = 0;
const shownMs = 5_000;

export function showToast(text: string, isError = false): void {
  const id = (count += 1);
  toasts.value = [...toasts.value.slice(-3), { id, text, isError }];
  if (!isError) setTimeout(() => close(id), shownMs);
}

/** Runs an action of the user: reports that it is done, or why it failed. Resolves to whether it succeeded. */
export async function act<T>(
  run: () => Promise<T>,
  done?: string | ((result: T) => string),
): Promise<boolean> {
  try {
    const result = await run();
    if (done !== undefined) showToast(typeof done === 'string' ? done : done(result));
    return true;
  } catch (error) {
    showToast((error as Error).message, true);
    return false;
  }
}

function close(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts(): JSX.Element {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ id, text, isError }) => (
        <div key={id} class={`toast ${isError ? 'bad' : 'good'}`}>
          <span>{text}</span>
          <Button kind="quiet" icon="close" label="Close" onClick={() => close(id)} />
        </div>
      ))}
    </div>
  );
}
