/**
 * Runs the calls of one reply at the same time, each a durable step, and gives back the parts that answer them, in the
 * order of the calls: Gemini wants exactly one for each. What a tool gets wrong is told to the model, which may correct
 * itself; what concerns the turn itself (lease, abort, parking) ends it.
 */
import type { FunctionCall, Part } from '@google/genai';
import { FatalError, LeaseLostError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { StepContext, Turn } from '../agent.ts';
import { CredentialsError } from '../credentials-error.ts';
import { askUser } from './ask-user.ts';
import type { Tool } from './tool.ts';

type Call = FunctionCall & { name: string };
type ToolRecord = { response: JsonObject; ms: number };

export interface ToolAnswers {
  parts: Part[];
  /** The time of the slowest. */
  ms: number;
}

export async function callTools(
  turn: Pick<Turn, 'step' | 'progress'>,
  calls: readonly Call[],
  tools: readonly Tool[],
  deadline: AbortSignal,
): Promise<ToolAnswers> {
  const running = calls.map((call) => answerTo(turn, call, tools, deadline));
  // All are waited for, so that none is left running behind a turn that has ended.
  const settled = await Promise.allSettled(running);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  const records = await Promise.all(running);
  return {
    parts: calls.map(({ id, name }, index) => ({
      functionResponse: { ...(id !== undefined && { id }), name, response: records[index]?.response ?? {} },
    })),
    ms: Math.max(0, ...records.map(({ ms }) => ms)),
  };
}

async function answerTo(
  turn: Pick<Turn, 'step' | 'progress'>,
  { name, args = {} }: Call,
  tools: readonly Tool[],
  deadline: AbortSignal,
): Promise<ToolRecord> {
  if (name === askUser.name) return { response: { error: ASK_ALONE }, ms: 0 };
  const tool = tools.find(({ declaration }) => declaration.name === name);
  const input = { name, args: args as JsonObject };
  return turn.step(
    `tool:${name}`,
    async (step) => {
      // Within the step: a call that was made counts, also when its server has the tool no more.
      if (tool === undefined) return { response: { error: unknown(name, tools) }, ms: 0 };
      await turn.progress(`Calling ${name} …`);
      const started = performance.now();
      const response = await run(tool, input.args, {
        ...step,
        signal: AbortSignal.any([step.signal, deadline]),
      });
      return { response, ms: Math.round(performance.now() - started) };
    },
    { input, ...(tool?.sideEffects !== undefined && { sideEffects: tool.sideEffects }) },
  );
}

async function run(tool: Tool, args: JsonObject, step: StepContext): Promise<JsonObject> {
  try {
    return { output: await tool.call(args, step) };
  } catch (error) {
    // The reason says whether the turn is lost or out of time; what the tool threw does not.
    step.signal.throwIfAborted();
    if (concernsTurn(error)) throw error;
    return { error: describe(error) };
  }
}

function unknown(name: string, tools: readonly Tool[]): string {
  const known = tools.map(({ declaration }) => declaration.name).join(', ') || 'none';
  return `There is no function ${name}. Declared: ${known}.`;
}

function concernsTurn(error: unknown): boolean {
  return [LeaseLostError, FatalError, RetryableError, ParkedError, CredentialsError].some(
    (kind) => error instanceof kind,
  );
}

function describe(error: unknown): Json {
  return (error instanceof Error ? error.message : String(error)).slice(0, MAX_ERROR_CHARACTERS);
}

const MAX_ERROR_CHARACTERS = 2000;
const ASK_ALONE =
  'Not asked. Call ask_user alone, with a question, when you have the results of the other calls.';
