/**
 * The results of calls that tools send later (docs/develop/waits.md). A tool that may do so gets the URL of a callback with each
 * call. If it answers that its result is pending, the turn waits for what is posted there, without a worker:
 *
 *   callback opened ─▶ step: the call, with the URL ──its result──▶ done
 *                                └──pending──▶ suspended ──posted, or timed out──▶ the result, or an error, for the model
 */
import type { JsonObject } from '#shared/domain/message.ts';
import { toolWaitPrefix } from '#shared/domain/wait.ts';
import type { Callback } from '../../agent.ts';
import type { LoopTurn } from '../conversation/recorded-turn.ts';
import type { Tool, ToolReply } from './tool.ts';

/** A result that comes later, as it is recorded with a pending call: the tool may be gone when the turn runs again. */
export type LaterResult = NonNullable<Tool['later']> & {
  /** The name of the callback. */
  name: string;
};

export interface OpenResult {
  later: LaterResult;
  callback: Callback;
}

export class LaterResults {
  /** Calls by name of their tool. */
  readonly #calls = new Map<string, number>();
  readonly #tasks = new Map<string, number>();

  /** Returns a name for the task of the next call of a tool: unique in the turn, and the same in each run. */
  nameTask(tool: string): string {
    const number = (this.#tasks.get(tool) ?? 0) + 1;
    this.#tasks.set(tool, number);
    return `${toolWaitPrefix}${tool}#${number}`;
  }

  /** Opens the callback of the next call of a tool. Its name is unique in the turn, and the same in each run. */
  async open(turn: LoopTurn, { declaration, later }: Tool): Promise<OpenResult | undefined> {
    if (later === undefined) return undefined;
    const number = (this.#calls.get(declaration.name) ?? 0) + 1;
    this.#calls.set(declaration.name, number);
    const name = `result:${declaration.name}#${number}`;
    const callback = await turn.callback(name, { timeoutSeconds: later.seconds });
    return { later: { name, ...later }, callback };
  }
}

/** Waits for the result of a pending call. */
export async function awaitResult(
  turn: LoopTurn,
  { name, seconds, maxChars }: LaterResult,
  open: OpenResult | undefined,
): Promise<ToolReply> {
  const callback = open?.callback ?? (await turn.callback(name, { timeoutSeconds: seconds }));
  const result = await callback.result;
  const response: JsonObject =
    result.status === 'timed_out'
      ? { error: `The tool did not send its result within ${seconds} s.` }
      : { output: fit(result.body, maxChars) };
  return { response };
}

function fit(body: JsonObject[string], maxChars: number): JsonObject[string] {
  const json = JSON.stringify(body);
  return json.length <= maxChars
    ? body
    : `${json.slice(0, maxChars)}\n[cut: the first ${maxChars} of ${json.length} characters]`;
}
