/**
 * Corrects what a server sends before the client checks it. The client refuses a whole list for one invalid
 * tool, and a whole result for one block of unknown content, although the call has taken effect.
 *
 *   tools/list    an invalid tool is replaced by a mark that names it and its problem (readMark)
 *   tools/call    content that the client does not know, or cannot decode, becomes text, with a remark; a task in place of
 *                 the result, or a request for input, becomes a mark (readUnfinished)
 */
import { isSpecType, type JSONRPCMessage, type Tool, type Transport } from '@modelcontextprotocol/client';
import { isBase64, type Json, type JsonObject } from '#shared/domain/message.ts';

const problemKey = 'dev.longhaul/problem';
const unfinishedKey = 'dev.longhaul/unfinished';
const maxQuotedChars = 2000;
/** Canceled requests get no answer, so the oldest unanswered ones are forgotten. */
const maxUnanswered = 1000;

/** Corrects the messages of a transport to which a client is connected. */
export function correctMessages(transport: Transport): void {
  const methods = new Map<unknown, string>();
  const { onmessage } = transport;
  const send = transport.send.bind(transport);
  transport.send = (message, options) => {
    if ('method' in message && 'id' in message) {
      methods.set(message.id, message.method);
      if (methods.size > maxUnanswered) methods.delete(methods.keys().next().value);
    }
    return send(message, options);
  };
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the transport offers only this property
  transport.onmessage = (message, extra) => onmessage?.(correct(message, methods), extra);
}

function correct<M extends JSONRPCMessage>(message: M, methods: Map<unknown, string>): M {
  if ('method' in message || !('id' in message)) return message;
  const method = methods.get(message.id);
  methods.delete(message.id);
  if (!('result' in message)) return message;
  const result = message.result as JsonObject;
  if (method === 'tools/list' && Array.isArray(result['tools'])) {
    return { ...message, result: { ...result, tools: result['tools'].map(correctTool) } };
  }
  return method === 'tools/call' ? { ...message, result: correctResult(result) } : message;
}

function correctTool(tool: unknown): unknown {
  const fields = (isObject(tool) ? tool : {}) as Record<string, unknown>;
  const { name, outputSchema } = fields;
  const problem = findDeclarationProblem(tool, fields);
  if (problem !== undefined) {
    return {
      name: typeof name === 'string' ? name : '(no name)',
      inputSchema: { type: 'object' },
      _meta: { [problemKey]: problem },
    };
  }
  // Earlier revisions allow only objects as output.
  return outputSchema === undefined || isSchema(outputSchema)
    ? tool
    : { ...(tool as object), outputSchema: undefined };
}

function findDeclarationProblem(tool: unknown, { inputSchema }: Record<string, unknown>): string | undefined {
  if (isSpecType.Tool(tool) && isSchema(inputSchema)) return undefined;
  return isObject(inputSchema) ? 'its declaration is not valid' : 'it has no schema of its arguments';
}

/** Returns why a listed tool cannot be used, or undefined if it can. */
export function readMark(tool: Tool): string | undefined {
  const problem = tool._meta?.[problemKey];
  return typeof problem === 'string' ? problem : undefined;
}

/** The checks that all revisions of the specification have in common. */
function isSchema(value: unknown): boolean {
  if (!isObject(value) || value['type'] !== 'object') return false;
  const { properties, required } = value;
  return (
    (properties === undefined || isObject(properties)) &&
    (required === undefined ||
      (Array.isArray(required) && required.every((name) => typeof name === 'string')))
  );
}

function correctResult(result: JsonObject): JsonObject {
  const { resultType = 'complete', content, structuredContent, isError, _meta } = result;
  const unfinished = findUnfinished(result);
  if (unfinished !== undefined)
    return { content: [], _meta: { [unfinishedKey]: unfinished }, resultType: 'complete' };
  if (resultType !== 'complete') return result;
  const blocks = Array.isArray(content) ? content : content === undefined ? [] : [content];
  const isData = structuredContent === undefined || isObject(structuredContent);
  return {
    resultType,
    content: [
      ...blocks.map(correctBlock),
      ...(isData ? [] : [{ type: 'text', text: JSON.stringify(structuredContent) }]),
    ],
    ...(isData && structuredContent !== undefined && { structuredContent }),
    ...(isError === true && { isError }),
    ...(isObject(_meta) && { _meta }),
  };
}

/** An answer that is not a result yet: a task, or a request for input. */
export interface UnfinishedResult {
  taskId?: string;
  pollSeconds?: number;
  requests?: JsonObject;
  requestState?: string;
}

/** In the form of the extension (SEP-2663), of 2025-11-25, or of 2026-07-28 ("Multi Round-Trip Requests"). */
function findUnfinished(result: JsonObject): JsonObject | undefined {
  const { resultType, task: nested, inputRequests, requestState } = result;
  if (resultType === 'input_required') {
    return {
      requests: isObject(inputRequests) ? inputRequests : {},
      ...(typeof requestState === 'string' && { requestState }),
    };
  }
  const task = resultType === 'task' ? result : isObject(nested) ? nested : undefined;
  if (task === undefined || typeof task['taskId'] !== 'string') return undefined;
  const pollMs = task['pollIntervalMs'] ?? task['pollInterval'];
  return {
    taskId: task['taskId'],
    ...(typeof pollMs === 'number' && pollMs > 0 && { pollSeconds: pollMs / 1000 }),
  };
}

/** Returns undefined for a result. */
export function readUnfinished({
  _meta,
}: {
  _meta?: Record<string, unknown> | undefined;
}): UnfinishedResult | undefined {
  return _meta?.[unfinishedKey] as UnfinishedResult | undefined;
}

/** Binary content may have line breaks, as in MIME. The rest of a result with unreadable content stays usable. */
function correctBlock(block: Json): Json {
  if (!isObject(block)) return quoteBlock(block);
  const { resource } = block;
  const [holder, field] = isObject(resource) ? [resource, 'blob'] : [block, 'data'];
  const content = holder[field];
  const isBinary = block['type'] === 'image' || block['type'] === 'audio' || isObject(resource);
  if (!isBinary || typeof content !== 'string')
    return isSpecType.ContentBlock(block) ? block : quoteBlock(block);
  const base64 = content.replaceAll(/\s/g, '');
  if (!isBase64(base64)) return describeUnreadable(block, holder);
  const corrected = { ...holder, [field]: base64 };
  const whole = isObject(resource) ? { ...block, resource: corrected } : corrected;
  return isSpecType.ContentBlock(whole) ? whole : quoteBlock(whole);
}

function describeUnreadable({ type }: JsonObject, { mimeType, uri }: JsonObject): JsonObject {
  const names = [type, uri, mimeType].filter((name) => typeof name === 'string');
  return { type: 'text', text: `[${names.join(', ')}: unreadable, because its content is not valid base64]` };
}

function quoteBlock(block: unknown): JsonObject {
  const json = JSON.stringify(block);
  const quoted = json.length > maxQuotedChars ? `${json.slice(0, maxQuotedChars)}…` : json;
  return { type: 'text', text: `[The tool returned content of an unknown form: ${quoted}]` };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
