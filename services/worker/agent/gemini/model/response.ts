/**
 * What is kept of one call of the model: its content exactly as it came, with thought signatures, which Gemini wants
 * back as they were. Stored as the result of the step, so it must stay readable over versions.
 */
import type { Content, FunctionCall, GenerateContentResponse, Part } from '@google/genai';
import { foldArtifacts } from '#shared/domain/events.ts';
import type { JsonObject, Part as A2APart } from '#shared/domain/message.ts';

export type ModelResponse = {
  /** A `Content`; without parts when the model gave none. */
  content: JsonObject;
  finishReason: string | null;
  finishMessage: string | null;
  /** Set where the prompt was refused. */
  blockReason: string | null;
  /**
   * What the answer rests on (`groundingMetadata`, `urlContextMetadata`, `citationMetadata`), where a tool of Gemini's
   * was used.
   */
  sources?: JsonObject;
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
  readonly #sources: JsonObject = {};
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
    for (const name of ['groundingMetadata', 'urlContextMetadata', 'citationMetadata'] as const) {
      const found = candidate?.[name];
      if (found !== undefined) this.#sources[name] = JSON.parse(JSON.stringify(found)) as JsonObject;
    }
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

  build(ms: number): ModelResponse {
    const content: Content = { role: 'model', ...(this.#parts.length > 0 && { parts: this.#parts }) };
    return {
      content: JSON.parse(JSON.stringify(content)) as JsonObject,
      finishReason: this.#finishReason,
      finishMessage: this.#finishMessage,
      blockReason: this.#blockReason,
      ...(Object.keys(this.#sources).length > 0 && { sources: this.#sources }),
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

export function contentOf(record: ModelResponse): Content {
  return record.content;
}

/** The text of the answer: thoughts are left out. */
export function textOf(record: ModelResponse): string {
  const parts = contentOf(record).parts ?? [];
  return parts.map((part) => (part.thought === true ? '' : (part.text ?? ''))).join('');
}

/**
 * The answer as parts of A2A: files that the model made become file parts, code that it ran and what came of it data
 * parts.
 */
export function partsOf(record: ModelResponse): A2APart[] {
  const [{ parts } = { parts: [] }] = foldArtifacts([
    {
      taskId: '',
      contextId: '',
      artifact: { artifactId: '', parts: (contentOf(record).parts ?? []).flatMap(toPart) },
    },
  ]);
  return parts;
}

function toPart(part: Part): A2APart[] {
  const { text = '', thought, inlineData, fileData, executableCode, codeExecutionResult } = part;
  if (thought === true) return [];
  if (inlineData?.data !== undefined) {
    return [{ raw: inlineData.data, ...named(inlineData) }];
  }
  if (fileData?.fileUri !== undefined) return [{ url: fileData.fileUri, ...named(fileData) }];
  const ran = executableCode ? { executableCode } : codeExecutionResult && { codeExecutionResult };
  if (ran !== undefined) {
    return [{ data: JSON.parse(JSON.stringify(ran)) as JsonObject, mediaType: 'application/json' }];
  }
  return text === '' ? [] : [{ text }];
}

function named({ mimeType, displayName }: { mimeType?: string; displayName?: string }) {
  return {
    mediaType: mimeType ?? 'application/octet-stream',
    ...(displayName !== undefined && { filename: displayName }),
  };
}

export function callsOf(record: ModelResponse): (FunctionCall & { name: string })[] {
  const parts = contentOf(record).parts ?? [];
  return parts.flatMap(({ functionCall }) =>
    functionCall?.name === undefined ? [] : [{ ...functionCall, name: functionCall.name }],
  );
}
