/**
 * Scripted replies, for tests that drive the model from outside:
 *
 *   [{match: 'a piece of the last text of the user', reactions: [{status: 429, retryDelay: '2s'}, …], repeat?: true}, …]
 *
 * The first rule that matches gives its next reaction. Reactions are used up in order (or go round, with `repeat`), after
 * which the model answers by itself again. A reaction changes what it names and leaves the rest of the model's own
 * reply as it is.
 */
import type { Part } from '@google/genai';
import { Type } from 'typebox';
import type { Static } from 'typebox';
import { Errors } from 'typebox/value';
import { GoogleError } from './google-error.ts';
import { call } from './reply.ts';
import type { Call, Reply } from './reply.ts';

const Millis = Type.Integer({ minimum: 0 });
const Calls = Type.Object(
  { name: Type.String(), args: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  { additionalProperties: false },
);
const Reaction = Type.Object(
  {
    delayMs: Type.Optional(Millis),
    chunkDelayMs: Type.Optional(Millis),
    /** An error of Google's: 400, 429, 503 … */
    status: Type.Optional(Type.Integer({ minimum: 400, maximum: 599 })),
    message: Type.Optional(Type.String()),
    retryDelay: Type.Optional(Type.String({ pattern: '^[0-9.]+s$' })),
    /** Sent as the header of that name, in seconds. */
    retryAfter: Type.Optional(Type.Integer({ minimum: 0 })),
    dropAfterChunks: Type.Optional(Type.Integer({ minimum: 0 })),
    chunks: Type.Optional(Type.Array(Type.String())),
    /** Streamed before everything else, as a thought. */
    thought: Type.Optional(Type.String()),
    functionCall: Type.Optional(Type.Union([Calls, Type.Array(Calls)])),
    finishReason: Type.Optional(Type.String()),
    blockReason: Type.Optional(Type.String()),
    unfinished: Type.Optional(Type.Boolean()),
    hang: Type.Optional(Type.Boolean()),
    empty: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
const Rules = Type.Array(
  Type.Object(
    {
      match: Type.String(),
      reactions: Type.Array(Reaction, { minItems: 1 }),
      repeat: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
);
type Reaction = Static<typeof Reaction>;
export type ScriptRule = Static<typeof Rules>[number];

export class Script {
  #rules: { rule: ScriptRule; used: number }[] = [];

  add(rules: unknown): void {
    const [error] = Errors(Rules, rules);
    if (error !== undefined) {
      throw new GoogleError(400, {
        message: `The script is not valid at ${error.instancePath || '/'}: ${error.message}`,
      });
    }
    this.#rules.push(...(rules as ScriptRule[]).map((rule) => ({ rule, used: 0 })));
  }

  clear(): void {
    this.#rules = [];
  }

  /** The next reaction to a text: that of the first rule that matches and is not used up. */
  next(text: string): Reaction | undefined {
    for (const entry of this.#rules) {
      const { match, reactions, repeat } = entry.rule;
      if (!text.includes(match) || (repeat !== true && entry.used >= reactions.length)) continue;
      return reactions[entry.used++ % reactions.length];
    }
    return undefined;
  }
}

/** The model's own reply is asked for only where the reaction leaves something of it. */
export async function react(reaction: Reaction, own: () => Reply | Promise<Reply>): Promise<Reply> {
  const { status, message, retryDelay, retryAfter, chunks, thought, functionCall, empty, ...rest } = reaction;
  if (status !== undefined) {
    const headers = retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) };
    return { pieces: [], ...rest, error: { status, message, retryDelay, headers } };
  }
  const pieces: Part[] = thought === undefined ? [] : [{ text: thought, thought: true }];
  pieces.push(...(chunks ?? []).map((text) => ({ text })));
  if (functionCall !== undefined) pieces.push(...call([functionCall].flat().map(withArgs)).pieces);
  const replaces = chunks ?? functionCall ?? rest.hang ?? empty ?? rest.blockReason ?? rest.finishReason;
  if (replaces !== undefined) return { pieces, ...rest };
  const reply = await own();
  return { ...reply, pieces: [...pieces, ...reply.pieces], ...rest };
}

function withArgs({ name, args = {} }: Static<typeof Calls>): Call {
  return { name, args };
}
