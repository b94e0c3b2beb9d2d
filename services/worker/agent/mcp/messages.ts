/**
 * Corrects what a server sends before the client checks it. The client refuses a whole list for one invalid
 * tool, and a whole result for one block of unknown content, although the call has taken effect.
 *
 *   tools/list    an invalid tool is replaced by a mark that names it and its problem (readMark)
 *   tools/call    content that the client does not know becomes text, with a remark
 */
import { isSpecType, type JSONRPCMessage, type Tool, type Transport } from '@modelcontextprotocol/client';
import type { JsonObject } from '#shared/domain/message.ts';

const problemKey = 'dev.longhaul/problem';
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
  const { name, inputSchema, outputSchema } = (isObject(tool) ? tool : {}) as Record<string, unknown>;
  const isValid = isSpecType.Tool(tool) && isSchema(inputSchema);
  if (!isValid) {
    const problem = isObject(inputSchema)
      ? 'its declaration is not valid'
      : 'it has no schema of its arguments';
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
  const { resultType = 'complete', content, structuredContent, isError } = result;
  // An interim result asks for input and has no content.
  if (resultType !== 'complete') return result;
  const blocks = Array.isArray(content) ? content : content === undefined ? [] : [content];
  const isData = structuredContent === undefined || isObject(structuredContent);
  return {
    resultType,
    content: [
      ...blocks.map((block) => (isSpecType.ContentBlock(block) ? block : quoteBlock(block))),
      ...(isData ? [] : [{ type: 'text', text: JSON.stringify(structuredContent) }]),
    ],
    ...(isData && structuredContent !== undefined && { structuredContent }),
    ...(isError === true && { isError }),
  };
}

function quoteBlock(block: unknown): JsonObject {
  const json = JSON.stringify(block);
  const quoted = json.length > maxQuotedChars ? `${json.slice(0, maxQuotedChars)}…` : json;
  return { type: 'text', text: `[The tool returned content of an unknown form: ${quoted}]` };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
