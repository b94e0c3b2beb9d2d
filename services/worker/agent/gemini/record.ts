/**
 * What is kept of one call of the model: its content exactly as it came, with thought signatures, which Gemini wants
 * back as they were. Stored as the result of the step, so it must stay readable over versions.
 */
import type { Content, FunctionCall, GenerateContentResponse, Part } from '@google/genai';
import type { JsonObject } from '#shared/domain/message.ts';

export type ModelRecord = {
  /** A `Content`; without parts when the model gave none. */
  content: JsonObject;
  finishReason: string | null;
  finishMessage: string | null;
  /** Set where the prompt was refused. */
  blockReason: string | null;
  /** Token counts by the names of `usageMetadata`, and the model that answered. */
  usage: JsonObject;
  /** How long the call took, with its quick retries. */
  ms: number;
};

/** Gathers the events of a stream. */
export class RecordBuilder {
  readonly #parts: Part[] = [];
  #finishReason: string | null = null;
  #finishMessage: string | null = null;
  #blockReason: string | null = null;
  #usage: JsonObject;

  constructor(model: string) {
    this.#usage = { model };
  }

  /** Returns the text in an event that is part of the answer. */
  add(event: GenerateContentResponse): string {
    const candidate = event.candidates?.[0];
    let text = '';
    for (const part of candidate?.content?.parts ?? []) {
      this.#push(part);
      if (part.thought !== true) text += part.text ?? '';
    }
    this.#finishReason = candidate?.finishReason ?? this.#finishReason;
    this.#finishMessage = candidate?.finishMessage ?? this.#finishMessage;
    this.#blockReason = event.promptFeedback?.blockReason ?? this.#blockReason;
    const counts = Object.entries(event.usageMetadata ?? {}).filter(([, count]) => typeof count === 'number');
    Object.assign(
      this.#usage,
      Object.fromEntries(counts),
      event.modelVersion && { model: event.modelVersion },
    );
    return text;
  }

  /** False: the stream ended before the model did. */
  get ended(): boolean {
    return this.#finishReason !== null || this.#blockReason !== null;
  }

  build(ms: number): ModelRecord {
    const content: Content = { role: 'model', ...(this.#parts.length > 0 && { parts: this.#parts }) };
    return {
      content: JSON.parse(JSON.stringify(content)) as JsonObject,
      finishReason: this.#finishReason,
      finishMessage: this.#finishMessage,
      blockReason: this.#blockReason,
      usage: this.#usage,
      ms,
    };
  }

  /** Pieces of one text are joined; a part with a signature is never joined with another. */
  #push(part: Part): void {
    const last = this.#parts.at(-1);
    if (last !== undefined && isPlain(last) && isPlain(part) && last.thought === part.thought) {
      this.#parts[this.#parts.length - 1] = { ...last, text: last.text + part.text };
    } else if (part.text !== '' || part.thoughtSignature !== undefined) {
      this.#parts.push(part);
    }
  }
}

function isPlain(part: Part): part is Part & { text: string } {
  return part.text !== undefined && Object.keys(part).every((key) => key === 'text' || key === 'thought');
}

export function contentOf(record: ModelRecord): Content {
  return record.content;
}

/** The text of the answer: thoughts are left out. */
export function textOf(record: ModelRecord): string {
  const parts = contentOf(record).parts ?? [];
  return parts.map((part) => (part.thought === true ? '' : (part.text ?? ''))).join('');
}

export function callsOf(record: ModelRecord): (FunctionCall & { name: string })[] {
  const parts = contentOf(record).parts ?? [];
  return parts.flatMap(({ functionCall }) =>
    functionCall?.name === undefined ? [] : [{ ...functionCall, name: functionCall.name }],
  );
}
