/** The current time as a signal: ages and running durations follow it. It ticks while the tab is visible. */
import { signal } from '@preact/signals';

const tickMs = 500;

export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, tickMs);
