/**
 * Tools whose `execute` runs once for each tool call. The result is recorded under the id of the call, and so is an error:
 * the AI SDK passes it to the model, and another run of the turn must pass on the same.
 */
import type { StepContext } from '#services/worker/agent/agent.ts';
import type { Json } from '#shared/domain/message.ts';
import { joinSignals, type Calls } from './calls.ts';
import { decode, encode } from './codec.ts';
import type { ToolLike } from './types.ts';

export interface ToolOptions {
  /**
   * Whether the tools change something: the start of each call is then recorded before `execute` runs, so that a worker
   * that has lost its turn makes no call. `toolCallId` is the same if a call that was in flight at a crash is made again.
   * Default: true.
   */
  sideEffects?: boolean;
}

interface ExecuteOptions {
  toolCallId: string;
  abortSignal?: AbortSignal | undefined;
}

type Execute = (input: unknown, options: ExecuteOptions) => unknown;

/** The result of a call, as it is recorded. */
type Outcome = { output?: Json } | { error: { name?: string; message: string } };

export function wrapTool<T extends ToolLike>(
  calls: Calls,
  name: string,
  tool: T,
  { sideEffects = true }: ToolOptions,
): T {
  const execute = tool.execute?.bind(tool) as Execute | undefined;
  if (execute === undefined) return tool;

  /** @param onPreliminary gets the results that the tool reports before the last one */
  async function call(
    input: unknown,
    options: ExecuteOptions,
    onPreliminary: (output: unknown) => void,
  ): Promise<unknown> {
    const identity = { id: options.toolCallId, input: encode(input) };
    const run = async (step: StepContext): Promise<Json> => {
      const abortSignal = joinSignals(options.abortSignal, step.signal);
      try {
        const result = await execute?.(input, { ...options, abortSignal });
        const output = isAsyncIterable(result) ? await readLast(result, onPreliminary) : result;
        return (output === undefined ? {} : { output: encode(output) }) satisfies Outcome;
      } catch (error) {
        // After an abort, its reason (the turn is lost or out of time) replaces the error of the tool.
        step.signal.throwIfAborted();
        if (isAboutTurn(error)) throw error;
        return { error: describe(error) } satisfies Outcome;
      }
    };
    const outcome = (await calls.tool(name, identity, sideEffects, run)) as Outcome;
    if ('error' in outcome) throw toError(outcome.error);
    return outcome.output === undefined ? undefined : decode(outcome.output);
  }

  // The AI SDK shows what a generator yields. A call that is recorded yields its result alone.
  const wrapped: Execute = isGenerator(tool.execute)
    ? (input, options) => yieldResults((onPreliminary) => call(input, options, onPreliminary))
    : (input, options) => call(input, options, () => undefined);
  return { ...tool, execute: wrapped };
}

/** Yields the preliminary results of a call, and then its result. */
async function* yieldResults(
  run: (onPreliminary: (output: unknown) => void) => Promise<unknown>,
): AsyncGenerator {
  const results = new TransformStream();
  const writer = results.writable.getWriter();
  const ended = run((output) => void writer.write(output).catch(() => undefined)).then(
    async (result) => {
      await writer.write(result);
      await writer.close();
    },
    (error: unknown) => writer.abort(error),
  );
  yield* results.readable;
  await ended;
}

async function readLast(
  results: AsyncIterable<unknown>,
  onPreliminary: (output: unknown) => void,
): Promise<unknown> {
  let last: unknown;
  for await (const result of results) {
    last = result;
    onPreliminary(result);
  }
  return last;
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

function isGenerator(execute: unknown): boolean {
  return typeof execute === 'function' && execute.constructor.name === 'AsyncGeneratorFunction';
}

/** The errors that an agent may throw to end, park or repeat its turn (longhaul/agent). */
function isAboutTurn(error: unknown): boolean {
  const names = ['FatalError', 'LeaseLostError', 'OwnerLimitError', 'ParkedError', 'RetryableError'];
  return error instanceof Error && names.includes(error.name);
}

function describe(error: unknown): { name?: string; message: string } {
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { message: typeof error === 'string' ? error : JSON.stringify(encode(error)) };
}

function toError({ name, message }: { name?: string; message: string }): Error {
  const error = new Error(message);
  if (name !== undefined) error.name = name;
  return error;
}
