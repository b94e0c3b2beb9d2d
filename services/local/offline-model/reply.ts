/**
 * Replies of a responder, independent of the wire format: the parts of one candidate, in the pieces in which
 * they are streamed, and the faults to simulate.
 */
import { randomUUID } from 'node:crypto';
import type { GroundingMetadata, Part } from '@google/genai';
import type { GoogleErrorOptions } from './google-error.ts';
import { estimateTextTokens } from './wire.ts';

export interface Reply {
  /** Each piece is one event of a stream. */
  pieces: Part[];
  finishReason?: string;
  finishMessage?: string;
  /** Results of Google Search, sent with the last event. */
  groundingMetadata?: GroundingMetadata;
  /** Blocks the prompt: the response has no candidate. */
  blockReason?: string;
  error?: GoogleErrorOptions & { status: number };
  /** Replaces the whole response. */
  raw?: { status: number; body: string };
  /** The delay before the first byte, in milliseconds. */
  delayMs?: number;
  /** The delay before each piece, in milliseconds. */
  chunkDelayMs?: number;
  /** Closes the connection after this many pieces. */
  dropAfterChunks?: number;
  /** Ends the stream after the pieces, without the event that has the finish reason. */
  unfinished?: boolean;
  /** Ends the stream after the pieces with an error of this code. */
  streamError?: number;
  /** Never responds. */
  hang?: boolean;
}

/** Slow enough that streaming is visible. */
const pieceDelayMs = 25;
const wordsPerPiece = 6;

/** Creates a text reply, streamed a few words at a time. */
export function createTextReply(text: string): Reply {
  const words = text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text];
  const pieces: Part[] = [];
  for (let at = 0; at < words.length; at += wordsPerPiece) {
    pieces.push({ text: words.slice(at, at + wordsPerPiece).join('') });
  }
  return { pieces, chunkDelayMs: pieceDelayMs };
}

export interface RequestedCall {
  name: string;
  args: Record<string, unknown>;
}

/** Creates a reply with function calls. Only the first of several calls has a signature, as with Gemini 3. */
export function createCallReply(calls: readonly RequestedCall[]): Reply {
  return {
    pieces: calls.map(({ name, args }, index) => ({
      functionCall: { id: randomUUID().slice(0, 8), name, args },
      ...(index === 0 && { thoughtSignature: createSignature() }),
    })),
  };
}

function createSignature(): string {
  return Buffer.from(`offline:${randomUUID()}`).toString('base64');
}

/** Truncates a reply that is longer than the token limit of its request. */
export function limitTokens(reply: Reply, maxOutputTokens: number | undefined): Reply {
  if (maxOutputTokens === undefined) return reply;
  const pieces: Part[] = [];
  let left = maxOutputTokens;
  for (const piece of reply.pieces) {
    const cost = estimateTextTokens(piece.text ?? JSON.stringify(piece.functionCall ?? {}));
    if (cost > left) {
      if (piece.text !== undefined && left > 0) pieces.push({ text: piece.text.slice(0, left * 4) });
      return { ...reply, pieces, finishReason: 'MAX_TOKENS' };
    }
    pieces.push(piece);
    left -= cost;
  }
  return reply;
}
