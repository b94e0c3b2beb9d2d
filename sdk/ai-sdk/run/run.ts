/**
 * Runs an agent of the AI SDK for one turn:
 *
 *   history ─▶ messages ─▶ agent ─▶ answer                          ─▶ completed
 *      │                     ├────▶ a call needs approval           ─▶ auth-required
 *      │                     ├────▶ a call of a tool of the client  ─▶ input-required
 *      └─▶ pending calls ◀── the next message answers them
 */
import type { TurnOutcome } from '#services/worker/agent/agent.ts';
import type { Part } from '#shared/domain/message.ts';
import type { Calls } from '../calls.ts';
import { encode } from '../codec.ts';
import { readConversation, recordMessages, toUserMessage } from './conversation.ts';
import { toTurnError } from './errors.ts';
import { addAnswers, findPending, toPendingOutcome, toToolMessage } from './pending.ts';
import type { StreamedAnswer } from '../model/streamed-answer.ts';
import type { ModelMessageLike, RunInput, RunnableAgent, RunResult, StepLike } from '../types.ts';

export async function runAgent(
  calls: Calls,
  answer: StreamedAnswer,
  agent: RunnableAgent,
): Promise<TurnOutcome> {
  const { turn } = calls;
  const { messages, responses, answers: earlier } = await readConversation(turn);
  const asked = findPending(responses);
  const answers = addAnswers(asked, turn.message, earlier);
  if (asked.some(({ toolCallId }) => !Object.hasOwn(answers, toolCallId))) {
    await recordMessages(turn, { user: false, messages: [], answers });
    const undecided = Object.keys(answers).length === Object.keys(earlier).length;
    return toPendingOutcome(asked, answers, undecided ? 'Your message answered none of the calls.' : '');
  }
  const isAnswer = asked.length > 0;
  const added = isAnswer ? toToolMessage(asked, answers) : await toUserMessage(turn, turn.message.parts);
  const result = await start(agent, { messages: [...messages, added], abortSignal: turn.signal });
  const { last, produced } = await readResult(calls, result);
  await recordMessages(turn, { user: !isAnswer, messages: isAnswer ? [added, ...produced] : produced });
  const pending = findPending(produced);
  if (pending.length > 0) return toPendingOutcome(pending, {}, last?.text.trim() ?? '');
  await answer.finish(await toAnswer(result, last));
  return toOutcome(last);
}

async function start(agent: RunnableAgent, input: RunInput): Promise<RunResult> {
  return typeof agent === 'function' ? agent(input) : agent.stream(input);
}

/** @throws the error of a call that has ended the agent */
async function readResult(
  calls: Calls,
  result: RunResult,
): Promise<{ last: StepLike | undefined; produced: ModelMessageLike[] }> {
  try {
    await result.consumeStream?.();
    // Some versions never settle the promises of a stream that has failed.
    if (calls.failure !== undefined || calls.modelFailure !== undefined) throw calls.modelFailure?.error;
    // Version 7 lists the messages of all steps apart from those of the last response.
    const all = (await (result as { responseMessages?: unknown }).responseMessages) ?? undefined;
    const steps = (await result.steps) as readonly StepLike[];
    const { messages = [] } = (await result.response) as { messages?: ModelMessageLike[] };
    return { last: steps.at(-1), produced: (all as ModelMessageLike[] | undefined) ?? messages };
  } catch (error) {
    throw toTurnError(calls, error);
  }
}

/** The data of a structured output, or else the text and the files. */
async function toAnswer(result: RunResult, last: StepLike | undefined): Promise<Part[]> {
  const text = last?.text ?? '';
  const output = await readOutput(result, text);
  if (output !== undefined) return [{ data: encode(output), mediaType: 'application/json' }];
  const files = ((await result.files) ?? []) as { base64?: string; mediaType?: string }[];
  return [
    ...(text === '' ? [] : [{ text }]),
    ...files.flatMap(({ base64, mediaType }): Part[] =>
      base64 === undefined ? [] : [{ raw: base64, ...(mediaType !== undefined && { mediaType }) }],
    ),
  ];
}

/** Undefined: the output is text, or the agent has none. */
async function readOutput(result: RunResult, text: string): Promise<unknown> {
  try {
    const output = await (result.output ?? result.experimental_output);
    // In version 5, streams have only the format of their output.
    if (typeof output === 'object' && output !== null && 'responseFormat' in output) {
      return 'type' in output && output.type === 'text' ? undefined : JSON.parse(text);
    }
    return typeof output === 'string' ? undefined : output;
  } catch (error) {
    const { name, message } = error as Error;
    // Versions differ in whether it is an error to read an output that was not asked for.
    const names = ['AI_NoOutputSpecifiedError', 'AI_NoOutputGeneratedError'];
    if (names.includes(name) || message === 'No output specified') return undefined;
    throw error;
  }
}

function toOutcome(last: StepLike | undefined): TurnOutcome {
  if (last?.finishReason === 'content-filter') {
    return { state: 'TASK_STATE_FAILED', message: 'The model stopped because of its content filter.' };
  }
  if (last?.finishReason !== 'length') return { state: 'TASK_STATE_COMPLETED' };
  return {
    state: 'TASK_STATE_COMPLETED',
    message: "The answer was cut at the model's limit of output tokens.",
  };
}
