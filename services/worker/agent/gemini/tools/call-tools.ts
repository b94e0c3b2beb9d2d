/**
 * Runs calls of one reply at the same time, each a durable step. What a tool gets wrong is told to the model, which may
 * correct itself; what concerns the turn itself (lease, abort, parking, credentials) ends it. What only the user can
 * settle is left open.
 */
import { FatalError, LeaseLostError, ParkedError, RetryableError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { StepContext } from '../../agent.ts';
import { CredentialsError } from '../../errors.ts';
import { askUser, getQuestion } from './ask-user.ts';
import { NotRecordedError, type LoopTurn } from '../conversation/recorded-turn.ts';
import { inToolSpan } from './span.ts';
import { OutputWithFiles, type Call, type Tool, type ToolReply } from './tool.ts';

/** A call that may be made; `approved`: also where its tool wants the user to confirm it. */
export interface Callable {
  call: Call;
  approved: boolean;
}

export type ToolAnswer = (ToolReply & { ms: number }) | { open: 'ask' | 'confirm' | 'retry' };

export interface CallBounds {
  /** Aborts when the time for work is used up. */
  deadline: AbortSignal;
  /** Which reply of the model asks for the calls, in words for those who watch. */
  round: string;
}

/** The answers in the order of the calls. */
export async function callTools(
  turn: LoopTurn,
  calls: readonly Callable[],
  tools: readonly Tool[],
  bounds: CallBounds,
): Promise<ToolAnswer[]> {
  // Each begins its step before the next one does: the order of the steps is that of the calls.
  const running = calls.map((one) => answerTo(turn, one, tools, bounds));
  // All are waited for, so that none is left running behind a turn that has ended.
  const settled = await Promise.allSettled(running);
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  return Promise.all(running);
}

async function answerTo(
  turn: LoopTurn,
  { call, approved }: Callable,
  tools: readonly Tool[],
  { deadline, round }: CallBounds,
): Promise<ToolAnswer> {
  const { name, args = {} } = call;
  if (name === askUser.name) {
    if (getQuestion(call) !== undefined) return { open: 'ask' };
    return { response: { error: 'Not asked: the question is missing.' }, ms: 0 };
  }
  const tool = tools.find(({ declaration }) => declaration.name === name);
  if (tool?.confirm === true && !approved) return { open: 'confirm' };
  const input = { name, args: args as JsonObject };
  try {
    return await turn.step(
      `tool:${name}`,
      async (step) => {
        // Within the step: a call that was made counts, also when its server has the tool no more.
        if (tool === undefined) return { response: { error: unknown(name, tools) }, ms: 0 };
        await turn.progress(`Calling ${name} …${round}`);
        const started = performance.now();
        const signal = AbortSignal.any([step.signal, deadline]);
        const answer = await inToolSpan(call, () => run(tool, input.args, { ...step, signal }));
        return { ...answer, ms: Math.round(performance.now() - started) };
      },
      { input, ...(tool?.sideEffects !== undefined && { sideEffects: tool.sideEffects }) },
    );
  } catch (error) {
    if (error instanceof NotRecordedError) return { open: 'retry' };
    throw error;
  }
}

async function run(tool: Tool, args: JsonObject, step: StepContext): Promise<ToolReply> {
  try {
    const result = await tool.call(args, step);
    if (!(result instanceof OutputWithFiles)) return { response: { output: result } };
    return { response: { output: result.output }, files: [...result.files] };
  } catch (error) {
    // The reason says whether the turn is lost or out of time; what the tool threw does not.
    step.signal.throwIfAborted();
    if (concernsTurn(error)) throw error;
    return { response: { error: describe(error) } };
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
