/** Converts the result of a call of another agent to what the model gets. */
import { textOf, type Json, type JsonObject, type Part } from '#shared/domain/message.ts';
import type { CallResult, CallStatus } from '../agent.ts';
import { toSupportedType } from '../gemini/conversation/media-types.ts';
import type { ToolFile, ToolReply } from '../gemini/tools/tool.ts';

/** Larger files are only mentioned: a file is sent with each later call of the model. */
const maxFileBytes = 8 * 1024 * 1024;

const failures: Record<Exclude<CallStatus, 'completed'>, string> = {
  failed: 'failed',
  rejected: 'rejected the message',
  canceled: 'canceled its task',
  input_required: 'waits for an answer',
  auth_required: 'waits for an authorization',
  refused: 'was not called, or refused a request',
  timed_out: 'did not finish in time',
};

export function toReply(name: string, result: CallResult, maxChars: number): ToolReply {
  const { status, contextId, message, artifacts, complete } = result;
  const parts = [...artifacts.flatMap((artifact) => artifact.parts), ...message];
  const text = cut(textOf(parts), maxChars);
  if (status !== 'completed') {
    const reason = text === '' ? '' : `: ${text}`;
    return { response: { error: `The agent "${name}" ${failures[status]}${reason}` } };
  }
  const files = parts.flatMap(toFiles);
  const output: JsonObject = {
    text,
    ...getData(parts, maxChars),
    ...(contextId !== undefined && { contextId }),
    ...(!complete && { remark: 'Parts of the result were left out because of their size.' }),
  };
  const mentioned = parts.flatMap(mention);
  if (mentioned.length > 0) output['files'] = mentioned;
  return { response: { output }, ...(files.length > 0 && { files }) };
}

function getData(parts: readonly Part[], maxChars: number): { data?: Json } {
  const data = parts.flatMap((part) => (part.data === undefined ? [] : [part.data]));
  if (data.length === 0) return {};
  const json = JSON.stringify(data);
  return { data: json.length > maxChars ? cut(json, maxChars) : data };
}

function toFiles({ raw, mediaType = 'application/octet-stream', filename }: Part): ToolFile[] {
  if (raw === undefined || Buffer.byteLength(raw, 'base64') > maxFileBytes) return [];
  if (toSupportedType(mediaType) === undefined) return [];
  return [{ mediaType, data: raw, ...(filename !== undefined && { filename }) }];
}

function mention(part: Part): string[] {
  const { raw, url, mediaType = 'unknown type', filename = 'file' } = part;
  if (url !== undefined) return [`[${filename}](${url}), ${mediaType}`];
  if (raw === undefined) return [];
  const state = toFiles(part).length > 0 ? 'attached' : 'not shown';
  return [`${filename}, ${mediaType}, ${Buffer.byteLength(raw, 'base64')} bytes, ${state}`];
}

function cut(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  return `${text.slice(0, maxChars)}\n[cut: the first ${maxChars} of ${text.length} characters]`;
}
