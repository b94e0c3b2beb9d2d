/**
 * A tool in code, for the Gemini agent: what a module that a definition lists under `toolModules` exports.
 *
 * ```ts
 * import type { AgentTool } from 'longhaul/tools';
 * const tools: AgentTool[] = [
 *   {
 *     name: 'stock_of',
 *     description: 'How many pieces of an article are in stock.',
 *     parameters: { type: 'object', properties: { article: { type: 'string' } }, required: ['article'] },
 *     readOnly: true,
 *     run: async ({ article }, { signal }) => stock(String(article), signal),
 *   },
 * ];
 * export default tools;
 * ```
 *
 * Each call is a durable step: one that has ended never runs again, one in flight at a crash may, under the same
 * idempotency key (invariant 7).
 */
import type { Json, JsonObject } from '#shared/domain/message.ts';

export interface AgentTool {
  /** A letter or "_", then up to 63 letters, digits and "_": the name under which the model calls it. */
  name: string;
  /** Tells the model what it does and when to call it. */
  description: string;
  /** JSON Schema of the arguments, an object; they are checked by it before `run`. Default: no arguments. */
  parameters?: JsonObject;
  /** True: it changes nothing, so that no record is written before it starts (invariant 3). Default: false. */
  readOnly?: boolean;
  /** True: each call waits for the user's approval. Default: false. */
  confirm?: boolean;
  /** Seconds that one call may take; then its signal aborts. Default: 60. */
  timeoutSeconds?: number;
  /**
   * What it returns goes to the model, and so does the message of whatever it throws. It has to end soon after the
   * signal aborts.
   */
  run(args: JsonObject, call: ToolCallContext): Promise<Json | void>;
}

export interface ToolCallContext {
  /** The same over all runs of this call: hand it to whatever has an effect elsewhere. */
  readonly idempotencyKey: string;
  /** Aborts when the time is up, the task is cancelled, the lease is lost or the process stops. */
  readonly signal: AbortSignal;
}
