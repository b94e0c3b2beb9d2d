/** The use of a core by a measured process, and the time in which its event loop was busy with one thing. */

export interface LoopUsage {
  /** Delays of a timer, in milliseconds: by its own work, and by waits for a core. */
  delayP99Ms: number;
  delayMaxMs: number;
  /** CPU time of the main thread between two ticks of the timer, in milliseconds: by its own work alone. */
  busyP99Ms: number;
  busyMaxMs: number;
  /** Cores, on average. */
  cpu: number;
}

/** A message that a measured process answers with its usage since the last one. */
export const usageRequest = 'usage';

export function isLoopUsage(message: unknown): message is LoopUsage {
  return typeof message === 'object' && message !== null && 'delayMaxMs' in message;
}
