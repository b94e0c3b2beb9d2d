/** The count of calls from agent to agent that lead to a task, which bounds chains and loops (docs/develop/remote-agents.md). */
import type { JsonObject } from '../domain/message.ts';

/** The key of the count in the metadata of a request that starts a task. Absent: 0, for the requests of users. */
export const hopsExtension = 'https://longhaul.dev/ext/hops/v1';

/** The default of `limits.hops`. */
export const defaultMaxHops = 8;

/** Returns the count of a request; undefined if its value is not valid. */
export function readHops(metadata: JsonObject): number | undefined {
  const hops = metadata[hopsExtension] ?? 0;
  return typeof hops === 'number' && Number.isSafeInteger(hops) && hops >= 0 ? hops : undefined;
}

/** Returns the limit of a stored definition. */
export function getMaxHops(stored: JsonObject): number {
  const { limits } = stored as { limits?: { hops?: number } };
  return limits?.hops ?? defaultMaxHops;
}
