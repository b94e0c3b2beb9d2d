/** Turns chat messages into messages to the agent: the user's words and files, decisions, and results of tools. */
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import { createDecisions, getApprovalRequests } from '../../client/approval.ts';
import type { Task } from '../../task.ts';
import { clientToolsKey, type ClientToolResult } from '../run/client-tools.ts';
import type { ChatMessage, ChatPart } from './types.ts';

/** The parts of a message to the agent, with metadata for decisions. */
export interface Outgoing {
  parts: Part[];
  metadata?: JsonObject;
  /** The calls that were approved, and those that were refused. */
  approved: string[];
  refused: string[];
}

/** @throws {TypeError} if a file is neither a data URL nor an address on the web */
export function toUserParts({ parts }: ChatMessage): Part[] {
  return parts.flatMap(({ type, text, url, mediaType, filename }): Part[] => {
    if (type === 'text' && text !== undefined) return [{ text }];
    if (type !== 'file' || url === undefined) return [];
    const head = {
      ...(mediaType !== undefined && { mediaType }),
      ...(filename !== undefined && { filename }),
    };
    const data = /^data:[^,]*;base64,(.*)$/s.exec(url)?.[1];
    if (data !== undefined) return [{ raw: data, ...head }];
    if (!/^https?:/.test(url))
      throw new TypeError(`The file ${filename ?? ''} has no data: expected a data URL.`);
    return [{ url, ...head }];
  });
}

/** Returns what a message of the assistant answers of what the task waits for; undefined: nothing. */
export function toAnswers({ parts }: ChatMessage, task: Task): Outgoing | undefined {
  const decided = parts.filter(({ state }) => state === 'approval-responded');
  const results = readResults(parts, task);
  const metadata: { [uri: string]: { decisions: Json[] } } = {};
  const outgoing: Outgoing = { parts: [], approved: [], refused: [] };
  for (const { id } of getApprovalRequests(task)) {
    const part = decided.find(({ toolCallId }) => toolCallId === id);
    const { approved = false, reason } = (part?.approval ?? {}) as { approved?: boolean; reason?: string };
    if (part === undefined) continue;
    const made = createDecisions(task, { id, approve: approved, ...(reason !== undefined && { reason }) });
    for (const [uri, value] of Object.entries(made.metadata)) {
      const { decisions } = value as { decisions: Json[] };
      (metadata[uri] ??= { decisions: [] }).decisions.push(...decisions);
    }
    outgoing.parts.push({ text: made.text });
    (approved ? outgoing.approved : outgoing.refused).push(id);
  }
  if (results.length > 0) {
    const data = { [clientToolsKey]: { results } };
    outgoing.parts.push({ data, mediaType: 'application/json' });
  }
  return outgoing.parts.length === 0 ? undefined : { ...outgoing, metadata };
}

/** Results of the calls that the status of the task asks for. */
function readResults(parts: readonly ChatPart[], { status }: Task): ClientToolResult[] {
  const asked = JSON.stringify(status.message?.parts ?? []);
  return parts.flatMap(({ toolCallId, state, output, errorText = '' }): ClientToolResult[] => {
    if (toolCallId === undefined || !asked.includes(JSON.stringify(toolCallId))) return [];
    if (state === 'output-available') return [{ toolCallId, output: (output ?? null) as Json }];
    return state === 'output-error' ? [{ toolCallId, error: errorText }] : [];
  });
}
