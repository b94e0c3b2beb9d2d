/**
 * What a responder answers, before it is put on the wire: the parts of one candidate, in the pieces in which they are
 * streamed, with whatever goes wrong on the way.
 */
import { randomUUID } from 'node:crypto';
import type { GroundingMetadata, Part } from '@google/genai';
import type { GoogleErrorOptions } from './google-error.ts';
import { tokensIn } from './wire.ts';

export interface Reply {
  /** One streamed event each. */
  pieces: Part[];
  finishReason?: string;
  finishMessage?: string;
  /** What Google Search found, with the last event. */
  groundingMetadata?: GroundingMetadata;
  /** The prompt is refused: no candidate is made. */
  blockReason?: string;
  error?: GoogleErrorOptions & { status: number };
  /** Waits before the first byte; milliseconds. */
  delayMs?: number;
  /** Waits before each piece; milliseconds. */
  chunkDelayMs?: number;
  /** Cuts the connection when so many pieces are out. */
  dropAfterChunks?: number;
  /** Ends the stream after the pieces, without the event that says why it ended. */
  unfinished?: boolean;
  /** Never answers. */
  hang?: boolean;
}

/** A pace at which streaming can be seen. */
const PIECE_DELAY_MS = 25;
const WORDS_A_PIECE = 6;

export function say(text: string): Reply {
  const words = text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text];
  const pieces: Part[] = [];
  for (let at = 0; at < words.length; at += WORDS_A_PIECE) {
    pieces.push({ text: words.slice(at, at + WORDS_A_PIECE).join('') });
  }
  return { pieces, chunkDelayMs: PIECE_DELAY_MS };
}

export interface Call {
  name: string;
  args: Record<string, unknown>;
}

/** Only the first of several parallel calls carries a signature, as with Gemini 3. */
export function call(calls: readonly Call[]): Reply {
  return {
    pieces: calls.map(({ name, args }, index) => ({
      functionCall: { id: randomUUID().slice(0, 8), name, args },
      ...(index === 0 && { thoughtSignature: signature() }),
    })),
  };
}

function signature(): string {
  return Buffer.from(`offline:${randomUUID()}`).toString('base64');
}

/** Ends the reply where its text passes the limit of tokens that the request set. */
export function withinTokens(reply: Reply, maxOutputTokens: number | undefined): Reply {
  if (maxOutputTokens === undefined) return reply;
  const kept: Part[] = [];
  let left = maxOutputTokens;
  for (const piece of reply.pieces) {
    const cost = tokensIn(piece.text ?? JSON.stringify(piece.functionCall ?? {}));
    if (cost > left) {
      if (piece.text !== undefined && left > 0) kept.push({ text: piece.text.slice(0, left * 4) });
      return { ...reply, pieces: kept, finishReason: 'MAX_TOKENS' };
    }
    kept.push(piece);
    left -= cost;
  }
  return reply;
}
