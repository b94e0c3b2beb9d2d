/**
 * The conversation of a task, as messages of the AI SDK. Each turn records the messages of its responses, so that the next
 * one continues with tool calls and their results. Only the texts of other tasks of the context are known.
 */
import type { EarlierTurn, Turn } from '#services/worker/agent/agent.ts';
import { textOf, type Json, type Part } from '#shared/domain/message.ts';
import { decode, encode } from '../codec.ts';
import type { Answers } from './pending.ts';
import type { ContentPart, ModelMessageLike } from '../types.ts';

/** The step that records the messages of a turn. */
const messagesStep = 'messages';

export interface Conversation {
  /** Before the message of this turn. */
  messages: ModelMessageLike[];
  /** The messages of the last response. */
  responses: ModelMessageLike[];
  /** The answers that the caller has given to them already. */
  answers: Answers;
}

/** The messages that a turn has added to the conversation. */
interface TurnMessages {
  /** The message of the turn is one of the user's, and comes first. */
  user: boolean;
  messages: ModelMessageLike[];
  /** Answers to calls, while others still wait. */
  answers?: Answers;
}

export async function readConversation(turn: Turn): Promise<Conversation> {
  const { entries, earlierTurns } = await turn.readHistory();
  const conversation: Conversation = { messages: [], responses: [], answers: {} };
  for (const { taskId, role, parts } of entries) {
    if (taskId === turn.taskId) continue;
    const message = role === 'user' ? await toUserMessage(turn, parts) : toAssistantMessage(parts);
    if (message.content.length > 0) conversation.messages.push(message);
  }
  for (const earlier of earlierTurns) {
    const recorded = findRecorded(earlier);
    if (recorded === undefined) {
      const spoken = entries.filter(
        ({ taskId, turn: number }) => taskId === turn.taskId && number === earlier.number,
      );
      for (const { role, parts } of spoken) {
        conversation.messages.push(
          role === 'user' ? await toUserMessage(turn, parts) : toAssistantMessage(parts),
        );
      }
      continue;
    }
    if (recorded.user) conversation.messages.push(await toUserMessage(turn, earlier.message.parts));
    conversation.messages.push(...recorded.messages);
    if (recorded.messages.length > 0) {
      conversation.responses = recorded.messages;
      conversation.answers = {};
    }
    Object.assign(conversation.answers, recorded.answers);
  }
  return conversation;
}

export async function recordMessages(turn: Turn, messages: TurnMessages): Promise<void> {
  await turn.step(messagesStep, async () => encode(messages));
}

function findRecorded({ steps }: EarlierTurn): TurnMessages | undefined {
  const step = steps.find(({ name }) => name === messagesStep);
  return step === undefined ? undefined : (decode(step.result) as TurnMessages);
}

/**
 * Files that this service stores are read. Other URLs are passed on as text: the AI SDK would fetch them from within the
 * network of the worker.
 */
export async function toUserMessage(turn: Turn, parts: readonly Part[]): Promise<ModelMessageLike> {
  return { role: 'user', content: await Promise.all(parts.map((part) => toContent(turn, part))) };
}

async function toContent(turn: Turn, part: Part): Promise<ContentPart> {
  const { text, raw, url, data, mediaType = 'application/octet-stream', filename } = part;
  const name = filename === undefined ? {} : { filename };
  if (text !== undefined) return { type: 'text', text };
  if (raw !== undefined) return { type: 'file', data: raw, mediaType, ...name };
  if (url === undefined) return { type: 'text', text: JSON.stringify(data satisfies Json | undefined) };
  const file = await turn.readFile(url);
  if (file === undefined) return { type: 'text', text: `File ${filename ?? ''} (${mediaType}): ${url}` };
  if (file.mediaType.startsWith('text/')) return { type: 'text', text: file.content.toString() };
  return { type: 'file', data: new Uint8Array(file.content), mediaType: file.mediaType, ...name };
}

function toAssistantMessage(parts: readonly Part[]): ModelMessageLike {
  return { role: 'assistant', content: textOf(parts) };
}
