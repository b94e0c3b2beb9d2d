/** Decides whether and when a failed call of an MCP server is made again. */
import { findBusyError, type Loss } from './failures.ts';

/** The waits before each retry, for a server that is restarting. */
const retryDelaysMs = [100, 500, 1500, 3000];

/** Waits for a busy server that names no wait. */
const busyDelaysMs = [1000, 2000, 4000, 8000];

/** Returns the milliseconds until the call is made again, or undefined if it is not. */
export function getRetryDelayMs(
  error: unknown,
  loss: Loss | undefined,
  attempt: number,
  repeatable: boolean,
): number | undefined {
  const mayRepeat = repeatable || loss === 'before_call';
  const busy = findBusyError(error);
  if (!mayRepeat || (busy === undefined && loss === undefined)) return undefined;
  const ownMs = (busy === undefined ? retryDelaysMs : busyDelaysMs)[attempt];
  return ownMs === undefined ? undefined : (busy?.retryAfterMs ?? ownMs);
}
