/**
 * Puts a reply on the wire: as one JSON body, or as server-sent events (`alt=sse`), a piece each. A client that goes
 * away ends the work and is noted.
 */
import { randomUUID } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Part } from '@google/genai';
import { GoogleError } from './google-error.ts';
import type { Reply } from './reply.ts';
import type { LogEntry } from './request-log.ts';
import { tokensIn } from './wire.ts';
import type { GenerateResponse } from './wire.ts';

export interface Sending {
  response: ServerResponse;
  stream: boolean;
  model: string;
  promptTokens: number;
  entry: LogEntry;
  /** Aborts when the client has gone. */
  signal: AbortSignal;
}

export async function send(reply: Reply, sending: Sending): Promise<void> {
  const { response, entry, signal } = sending;
  if (reply.delayMs !== undefined) await sleep(reply.delayMs, undefined, { signal });
  if (reply.hang === true)
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  if (reply.error !== undefined) throw new GoogleError(reply.error.status, reply.error);
  entry.status = 200;
  entry.finishReason = reply.blockReason ?? reply.finishReason ?? 'STOP';
  if (sending.stream) await sendEvents(reply, sending);
  else await sendBody(reply, sending);
  if (!response.destroyed) response.end();
}

async function sendBody(reply: Reply, sending: Sending): Promise<void> {
  await sleep((reply.chunkDelayMs ?? 0) * reply.pieces.length, undefined, { signal: sending.signal });
  if (reply.dropAfterChunks !== undefined) return void sending.response.destroy();
  const body = responses(reply, sending).whole(reply.pieces);
  sending.response.writeHead(200, { 'content-type': 'application/json; charset=UTF-8' });
  sending.response.write(JSON.stringify(body));
}

async function sendEvents(reply: Reply, { response, entry, signal, ...about }: Sending): Promise<void> {
  const bodies = responses(reply, about);
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
    // The chunks have to be out before the connection is cut.
    await new Promise<void>((resolve) => response.write('', () => resolve()));
    response.destroy();
  } else if (reply.unfinished !== true) {
    write(bodies.last());
  }
}

/** The bodies of one answer: they share its id, and count what has been made so far. */
function responses(reply: Reply, { model, promptTokens }: Pick<Sending, 'model' | 'promptTokens'>) {
  const responseId = randomUUID();
  let candidatesTokenCount = 0;
  let thoughtsTokenCount = 0;
  const count = (part: Part) => {
    const tokens = tokensIn(part.text ?? JSON.stringify(part.functionCall ?? {}));
    if (part.thought === true) thoughtsTokenCount += tokens;
    else candidatesTokenCount += tokens;
  };
  const about = () => ({
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
      return { promptFeedback: { blockReason: reply.blockReason }, ...about() };
    const { finishReason = 'STOP', finishMessage, groundingMetadata } = reply;
    const content = parts.length > 0 ? { role: 'model', parts } : { role: 'model' };
    const candidate = {
      content,
      finishReason,
      index: 0,
      ...(finishMessage !== undefined && { finishMessage }),
      ...(groundingMetadata !== undefined && { groundingMetadata }),
    };
    return { candidates: [candidate], ...about() };
  };
  return {
    event(part: Part): GenerateResponse {
      count(part);
      return { candidates: [{ content: { role: 'model', parts: [part] }, index: 0 }], ...about() };
    },
    last: () => final([]),
    whole(parts: Part[]): GenerateResponse {
      parts.forEach(count);
      return final(joined(parts));
    },
  };
}

function joined(parts: readonly Part[]): Part[] {
  const all: Part[] = [];
  for (const part of parts) {
    const before = all.at(-1);
    if (before?.text !== undefined && part.text !== undefined && before.thought === part.thought) {
      all[all.length - 1] = { ...before, text: before.text + part.text };
    } else {
      all.push(part);
    }
  }
  return all;
}
