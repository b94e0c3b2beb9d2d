/**
 * The interface of tools that are written in code, for the Gemini agent. A module that a definition lists
 * under `toolModules` exports a list of tools:
 *
 * ```ts
 * import type { AgentTool } from 'longhaul/tools';
 * const tools: AgentTool[] = [
 *   {
 *     name: 'get_stock',
 *     description: 'Returns how many pieces of an article are in stock.',
 *     parameters: { type: 'object', properties: { article: { type: 'string' } }, required: ['article'] },
 *     readOnly: true,
 *     run: async ({ article }, { signal }) => getStock(String(article), signal),
 *   },
 * ];
 * export default tools;
 * ```
 *
 * Each call is a durable step: a finished call never runs again. A call in flight at a crash may run again
 * under the same idempotency key (invariant 7).
 */
import type { Json, JsonObject } from '#shared/domain/message.ts';

export interface AgentTool {
  /** The name under which the model calls the tool: a letter or "_", then up to 63 letters, digits or "_". */
  name: string;
  /** For the model: what the tool does, and when to call it. */
  description: string;
  /**
   * The JSON Schema of the arguments, of type `object`. Arguments are checked before `run`. Default: no
   * arguments.
   */
  parameters?: JsonObject;
  /** True: a call has no side effects, so no "started" record precedes it (invariant 3). Default: false. */
  readOnly?: boolean;
  /** True: each call needs the user's approval. Default: false. */
  confirm?: boolean;
  /** The time limit of one call in seconds, at most 86,400. Its signal aborts then. Default: 60. */
  timeoutSeconds?: number;
  /**
   * Set if `run` may return `pendingResult`: how long the result is waited for, in seconds, at most 366 days. The worker
   * needs a `PUBLIC_URL`. Default: `run` returns the result itself.
   */
  pendingSeconds?: number;
  /*   * The model gets the result, or the message of the error that is thrown. `run` must end soon after the
   * signal aborts.
   */
  run(args: JsonObject, call: ToolCallContext): Promise<Json | void>;
}

/** A result that says: the result is posted to the `callbackUrl` of the call later, as JSON (docs/develop/waits.md). */
export const pendingResult: JsonObject = { 'dev.longhaul/pending': true };

export interface ToolCallContext {
  /** Where the result may be posted later. Only for tools with `pendingSeconds`. */
  readonly callbackUrl?: string;
  /** The same for all runs of this call. Pass it to every external system that the call changes. */
  readonly idempotencyKey: string;
  /** Aborts when the time is up, the task is canceled, the lease is lost or the process stops. */
  readonly signal: AbortSignal;
}
