/**
 * Writes a reply as an HTTP response: one JSON body, or server-sent events (`alt=sse`) with one piece each.
 * Stops when the client disconnects.
 */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Part } from '@google/genai';
import { GoogleError } from './google-error.ts';
import type { Reply } from './reply.ts';
import type { LoggedRequest } from './request-log.ts';
import { estimateTextTokens, type GenerateResponse } from './wire.ts';

export interface ResponseContext {
  response: ServerResponse;
  stream: boolean;
  model: string;
  promptTokens: number;
  entry: LoggedRequest;
  /** Aborts when the client disconnects. */
  signal: AbortSignal;
}

export async function sendReply(reply: Reply, context: ResponseContext): Promise<void> {
  const { response, entry, signal } = context;
  if (reply.delayMs !== undefined) await sleep(reply.delayMs, undefined, { signal });
  if (reply.hang === true)
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  if (reply.error !== undefined) throw new GoogleError(reply.error.status, reply.error);
  entry.status = reply.raw?.status ?? 200;
  if (reply.raw !== undefined) {
    const type = reply.raw.body.startsWith('<') ? 'text/html' : 'text/event-stream';
    response.writeHead(reply.raw.status, { 'content-type': type });
    return void response.end(reply.raw.body);
  }
  entry.finishReason = reply.blockReason ?? reply.finishReason ?? 'STOP';
  if (context.stream) await sendEvents(reply, context);
  else await sendBody(reply, context);
  if (!response.destroyed) response.end();
}

async function sendBody(reply: Reply, context: ResponseContext): Promise<void> {
  await sleep((reply.chunkDelayMs ?? 0) * reply.pieces.length, undefined, { signal: context.signal });
  if (reply.dropAfterChunks !== undefined) return void context.response.destroy();
  const body = createBodies(reply, context).whole(reply.pieces);
  context.response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8' });
  context.response.write(JSON.stringify(body));
}

async function sendEvents(
  reply: Reply,
  { response, entry, signal, ...context }: ResponseContext,
): Promise<void> {
  const bodies = createBodies(reply, context);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  const write = (body: GenerateResponse) => {
    response.write(`data: ${JSON.stringify(body)}\r\n\r\n`);
    entry.chunks += 1;
  };
  for (const [index, piece] of reply.pieces.entries()) {
    if (index === reply.dropAfterChunks) break;
    if (reply.chunkDelayMs !== undefined) await sleep(reply.chunkDelayMs, undefined, { signal });
    write(bodies.event(piece));
  }
  if (reply.dropAfterChunks !== undefined) {
    // Flush the chunks before closing the connection.
    await new Promise<void>((resolve) => response.write('', () => resolve()));
    response.destroy();
  } else if (reply.streamError !== undefined) {
    response.write(JSON.stringify(new GoogleError(reply.streamError)));
  } else if (reply.unfinished !== true) {
    write(bodies.last());
  }
}

/** Returns a reply as one body. */
export function toResponseBody(
  reply: Reply,
  context: Pick<ResponseContext, 'model' | 'promptTokens'>,
): GenerateResponse {
  return createBodies(reply, context).whole(reply.pieces);
}

/** Creates the bodies of one response. They share its id and count the tokens so far. */
function createBodies(
  reply: Reply,
  { model, promptTokens }: Pick<ResponseContext, 'model' | 'promptTokens'>,
) {
  const responseId = randomUUID();
  let candidatesTokenCount = 0;
  let thoughtsTokenCount = 0;
  const count = (part: Part) => {
    const tokens = estimateTextTokens(part.text ?? JSON.stringify(part.functionCall ?? {}));
    if (part.thought === true) thoughtsTokenCount += tokens;
    else candidatesTokenCount += tokens;
  };
  const getMetadata = () => ({
    usageMetadata: {
      promptTokenCount: promptTokens,
      ...(candidatesTokenCount > 0 && { candidatesTokenCount }),
      ...(thoughtsTokenCount > 0 && { thoughtsTokenCount }),
      totalTokenCount: promptTokens + candidatesTokenCount + thoughtsTokenCount,
    },
    modelVersion: model,
    responseId,
  });
  const final = (parts: Part[]): GenerateResponse => {
    if (reply.blockReason !== undefined)
      return { promptFeedback: { blockReason: reply.blockReason }, ...getMetadata() };
    const { finishReason = 'STOP', finishMessage, groundingMetadata } = reply;
    const content = parts.length > 0 ? { role: 'model', parts } : { role: 'model' };
    const candidate = {
      content,
      finishReason,
      index: 0,
      ...(finishMessage !== undefined && { finishMessage }),
      ...(groundingMetadata !== undefined && { groundingMetadata }),
    };
    return { candidates: [candidate], ...getMetadata() };
  };
  return {
    event(part: Part): GenerateResponse {
      count(part);
      return { candidates: [{ content: { role: 'model', parts: [part] }, index: 0 }], ...getMetadata() };
    },
    last: () => final([]),
    whole(parts: Part[]): GenerateResponse {
      parts.forEach(count);
      return final(joinTexts(parts));
    },
  };
}

/** Merges adjacent text parts. */
function joinTexts(parts: readonly Part[]): Part[] {
  const joined: Part[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (last?.text !== undefined && part.text !== undefined && last.thought === part.thought) {
      joined[joined.length - 1] = { ...last, text: last.text + part.text };
    } else {
      joined.push(part);
    }
  }
  return joined;
}
