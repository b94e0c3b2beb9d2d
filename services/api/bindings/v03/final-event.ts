/**
 * The last event of a stream in A2A 0.3 is `final` (0.3, section 7.2.2), in every state: clients of that
 * version stop reading there, and take an interrupted task for one that still works otherwise. The translation of the
 * SDK marks terminal states only.
 */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { streamCloses } from '../../handler/call-state.ts';

/** Returns the event with `final: true` if it is a status update that closes the stream. */
export function markFinal<T extends object>(event: T, context: ServerCallContext): T {
  return 'final' in event && streamCloses.get(context) === true ? { ...event, final: true } : event;
}
