/**
 * Scripted replies for tests that control the model from outside:
 *
 *   [{match: 'part of the last text of the user', reactions: [{status: 429, retryDelay: '2s'}, …], repeat?: true}, …]
 *
 * The first matching rule returns its next reaction. Reactions are used once each, in order, or cyclically
 * with `repeat`. When they are used up, the model replies normally again. A reaction overrides the fields
 * that it names and keeps the rest of the normal reply.
 */
import type { Part } from '@google/genai';
import * as v from 'valibot';
import { GoogleError } from './google-error.ts';
import { createCallReply, type RequestedCall, type Reply } from './reply.ts';

const WholeNumber = v.pipe(v.number(), v.integer(), v.minValue(0));
const ScriptedCall = v.strictObject({
  name: v.string(),
  args: v.exactOptional(v.record(v.string(), v.unknown())),
});
const Reaction = v.strictObject({
  delayMs: v.exactOptional(WholeNumber),
  chunkDelayMs: v.exactOptional(WholeNumber),
  /** An HTTP error: 400, 429, 503 … */
  status: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599))),
  message: v.exactOptional(v.string()),
  retryDelay: v.exactOptional(v.pipe(v.string(), v.regex(/^[0-9.]+s$/))),
  /** The `Retry-After` header, in seconds. */
  retryAfter: v.exactOptional(WholeNumber),
  /** Sent with the status (default: 200) as it is, such as the error page of a proxy. */
  body: v.exactOptional(v.string()),
  dropAfterChunks: v.exactOptional(WholeNumber),
  /** The code of an error that ends the stream after its pieces. */
  streamError: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599))),
  chunks: v.exactOptional(v.array(v.string())),
  /** Streamed first, as a thought. */
  thought: v.exactOptional(v.string()),
  functionCall: v.exactOptional(v.union([ScriptedCall, v.array(ScriptedCall)])),
  finishReason: v.exactOptional(v.string()),
  blockReason: v.exactOptional(v.string()),
  unfinished: v.exactOptional(v.boolean()),
  hang: v.exactOptional(v.boolean()),
  empty: v.exactOptional(v.boolean()),
});
const Rules = v.array(
  v.strictObject({
    match: v.string(),
    reactions: v.pipe(v.array(Reaction), v.minLength(1)),
    repeat: v.exactOptional(v.boolean()),
  }),
);
type Reaction = v.InferOutput<typeof Reaction>;
export type ScriptRule = v.InferOutput<typeof Rules>[number];

export class Script {
  #rules: { rule: ScriptRule; used: number }[] = [];

  /** @throws {GoogleError} 400 for an invalid script, with the position of the error */
  add(rules: unknown): void {
    const { success, output, issues } = v.safeParse(Rules, rules);
    if (!success) {
      const place = v.getDotPath(issues[0]) ?? 'the top level';
      throw new GoogleError(400, { message: `The script is invalid at ${place}: ${issues[0].message}` });
    }
    this.#rules.push(...output.map((rule) => ({ rule, used: 0 })));
  }

  clear(): void {
    this.#rules = [];
  }

  /** Returns the next reaction of the first rule that matches the text and is not used up. */
  next(text: string): Reaction | undefined {
    for (const entry of this.#rules) {
      const { match, reactions, repeat } = entry.rule;
      if (!text.includes(match) || (repeat !== true && entry.used >= reactions.length)) continue;
      return reactions[entry.used++ % reactions.length];
    }
    return undefined;
  }
}

/** Applies a reaction. Calls `getNormalReply` only if the reaction keeps a part of the normal reply. */
export async function react(
  reaction: Reaction,
  getNormalReply: () => Reply | Promise<Reply>,
): Promise<Reply> {
  const { status, message, retryDelay, retryAfter, body, ...others } = reaction;
  const { chunks, thought, functionCall, empty, ...rest } = others;
  if (body !== undefined) return { pieces: [], ...rest, raw: { status: status ?? 200, body } };
  if (status !== undefined) {
    const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
    return { pieces: [], ...rest, error: { status, message, retryDelay, headers } };
  }
  const pieces: Part[] = thought === undefined ? [] : [{ text: thought, thought: true }];
  pieces.push(...(chunks ?? []).map((text) => ({ text })));
  if (functionCall !== undefined) pieces.push(...createCallReply([functionCall].flat().map(withArgs)).pieces);
  const replaces = chunks ?? functionCall ?? rest.hang ?? empty ?? rest.blockReason ?? rest.finishReason;
  if (replaces !== undefined) return { pieces, ...rest };
  const reply = await getNormalReply();
  return { ...reply, pieces: [...pieces, ...reply.pieces], ...rest };
}

function withArgs({ name, args = {} }: v.InferOutput<typeof ScriptedCall>): RequestedCall {
  return { name, args };
}
