/** Restores the conversation before a turn, from the history of its context and the records of its task. */
import { createHash } from 'node:crypto';
import { getModelApi } from '#shared/agent/model-api.ts';
import type { ModelSettings } from '#shared/agent/model-settings.ts';
import { noUsage } from '#shared/domain/usage.ts';
import type { History, HistoryEntry, Turn } from '../agent.ts';
import { recordedDownloads } from '../files/downloads.ts';
import type { ModelWaitingTurn } from '../model-wait.ts';
import { appendContent, appendHistoryEntry } from './conversation/contents.ts';
import type { Conversation } from './conversation/conversation.ts';
import { trimHistory } from './conversation/history.ts';
import { createRecordedTurn, NotRecordedError } from './conversation/recorded-turn.ts';
import { createTextFileReader } from './conversation/text-files.ts';
import { Loop, type LoopParts } from './loop.ts';

/** Shows the model that it does not have the whole conversation. */
const incompleteHistory = '[Earlier parts of this conversation were left out because they are too large.]';

/**
 * Turns of this task are replayed with their calls and results. Other entries of the history are included as text, unless
 * Google has stored them.
 */
export async function restoreConversation(
  turn: ModelWaitingTurn,
  parts: Omit<LoopParts, 'conversation'>,
): Promise<Conversation> {
  const conversation: Conversation = { contents: [], spent: noUsage };
  const history = await turn.readHistory();
  const turns = new Map(history.earlierTurns.map((earlier) => [earlier.number, earlier]));
  const restored = new Set<number>();
  const recordedTools = parts.tools.filter((tool) => 'agent' in tool);
  if (history.complete)
    conversation.base = identify(history.entries.filter(({ taskId }) => taskId !== turn.taskId));
  else appendContent(conversation.contents, 'user', [{ text: incompleteHistory }]);
  for (const entry of await inlineEntries(turn, history.entries)) {
    const earlier = entry.taskId === turn.taskId ? turns.get(entry.turn) : undefined;
    if (earlier !== undefined && restored.has(earlier.number)) continue;
    // A turn that another kind of agent ran, or that finished no step, has only text.
    if (earlier === undefined || (earlier.steps.length === 0 && conversation.pending === undefined)) {
      appendHistoryEntry(conversation.contents, entry);
      continue;
    }
    restored.add(earlier.number);
    // Only with the tools that are not steps, because a replay makes no calls.
    const loop = new Loop(
      createRecordedTurn(earlier, {
        taskId: turn.taskId,
        signal: turn.signal,
        references: history.references,
        readFile: (url) => turn.readFile(url),
      }),
      { ...parts, tools: recordedTools, downloads: recordedDownloads, conversation },
    );
    await loop.run().catch((error: unknown) => {
      // The turn ended before its next step, for example because credentials were missing.
      if (!(error instanceof NotRecordedError)) throw error;
    });
  }
  const { history: bounds, model } = parts.definition;
  const trimmed = trimHistory(conversation.contents, bounds.maxTokens, conversation.pending !== undefined);
  // The conversation that Google has stored is longer.
  if (trimmed.length < conversation.contents.length) {
    delete conversation.stored;
    delete conversation.base;
  }
  conversation.contents = trimmed;
  await continueOtherTask(turn, model, history, conversation);
  return conversation;
}

/**
 * Lets the first turn of a task continue the reply that completed the task before it in the context, if Google stores it, the
 * model is the same, and it knows what this turn knows: neither an answer came later, nor was a task removed.
 */
async function continueOtherTask(
  turn: ModelWaitingTurn,
  model: ModelSettings,
  { entries }: History,
  conversation: Conversation,
): Promise<void> {
  const last = entries.at(-1);
  if (last?.role !== 'agent' || last.taskId === turn.taskId || conversation.base === undefined) return;
  if (getModelApi(model) === 'generateContent' || model.store === false) return;
  const stored = await turn.readStoredReply(last);
  const start = entries.findIndex(({ taskId }) => taskId === last.taskId);
  if (stored?.model !== model.name || stored.base !== identify(entries.slice(0, start))) return;
  const [request, reply] = conversation.contents.slice(-2);
  if (request?.role !== 'user' || reply?.role !== 'model') return;
  conversation.stored = { id: stored.interaction, content: request, parts: request.parts?.length ?? 0 };
}

/** Returns a number of at most nine digits that another conversation has only by chance. */
function identify(entries: readonly HistoryEntry[]): number {
  const content = JSON.stringify(entries.map(({ taskId, turn, role, parts }) => [taskId, turn, role, parts]));
  return createHash('sha256').update(content).digest().readUInt32BE() % 1_000_000_000;
}

/** Reads large texts of the history back, those of the newest entries first. */
async function inlineEntries(turn: Turn, entries: readonly HistoryEntry[]): Promise<HistoryEntry[]> {
  const inline = createTextFileReader((url) => turn.readFile(url));
  const inlined: HistoryEntry[] = [];
  for (const entry of entries.toReversed()) inlined.push({ ...entry, parts: await inline(entry.parts) });
  return inlined.reverse();
}
