/**
 * The recorded response of one model call. Its content is kept exactly as received, with thought signatures,
 * because Gemini requires them back unchanged. It is stored as the result of the step, so it must stay
 * readable across versions.
 */
import type { Content, FunctionCall, GenerateContentResponse, Part } from '@google/genai';
import { foldArtifacts } from '#shared/domain/events.ts';
import type { JsonObject, Part as A2APart } from '#shared/domain/message.ts';
import { addCounts } from './cost.ts';
import { isBeforeGemini3 } from './request.ts';

export type ModelResponse = {
  /** A `Content`. It has no parts if the model sent none. */
  content: JsonObject;
  finishReason: string | null;
  finishMessage: string | null;
  /** Set if the model refused the prompt. */
  blockReason: string | null;
  /**
   * The sources of the answer, if Gemini's own tools were used: grounding, URL context and citation metadata.
   */
  sources?: JsonObject;
  /**
   * Token counts under the names of `usageMetadata`, including those of streams that were cut, and the model
   * that answered.
   */
  usage: JsonObject;
  /** The duration of the call, including retries in place. */
  ms: number;
  /** The token that continues a reply which Google has cut into several (interactions/hops.ts). */
  continuation?: string;
  /** The environment in which a managed agent has worked. */
  environment?: string;
  /** `base` of the conversation that the interaction knows (conversation/conversation.ts). */
  base?: number;
  /** The id of the interaction, if the call was one. The last field: the database reads the end of the record. */
  interaction?: string;
};

/** Builds a response from the events of a stream. */
export class ResponseBuilder {
  readonly #parts: Part[] = [];
  #finishReason: string | null = null;
  #finishMessage: string | null = null;
  #blockReason: string | null = null;
  readonly #sources: JsonObject = {};
  #usage: JsonObject;

  /** @param tier the service tier of the call */
  constructor(model: string, tier?: string) {
    this.#usage = { model, ...(tier !== undefined && { tier }) };
  }

  /** Adds an event and returns its text, without thoughts. */
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

  /** Returns false until the model has sent a finish reason or refused the prompt. */
  get ended(): boolean {
    return this.#finishReason !== null || this.#blockReason !== null;
  }

  /** Token counts so far, and the model that answers. */
  get usage(): JsonObject {
    return this.#usage;
  }

  /**
   * @param ms the duration of the call
   * @param wasted token counts of earlier streams of this call that were cut
   */
  build(ms: number, wasted: JsonObject): ModelResponse {
    const content: Content = { role: 'model', ...(this.#parts.length > 0 && { parts: this.#parts }) };
    return {
      content: JSON.parse(JSON.stringify(content)) as JsonObject,
      finishReason: this.#finishReason,
      finishMessage: this.#finishMessage,
      blockReason: this.#blockReason,
      ...(Object.keys(this.#sources).length > 0 && { sources: this.#sources }),
      usage: addCounts(wasted, this.#usage),
      ms,
    };
  }

  /** Joins adjacent pieces of text. A part with a signature is never joined with another. */
  #push(part: Part): void {
    const last = this.#parts.at(-1);
    if (last !== undefined && isPlainText(last) && isPlainText(part) && last.thought === part.thought) {
      this.#parts[this.#parts.length - 1] = { ...last, text: last.text + part.text };
    } else if (part.text !== '' || part.thoughtSignature !== undefined) {
      this.#parts.push(part);
    }
  }
}

function isPlainText(part: Part): part is Part & { text: string } {
  return part.text !== undefined && Object.keys(part).every((key) => key === 'text' || key === 'thought');
}

/**
 * Returns the content to send back to the model. It is as received, with two corrections: names of functions
 * lose the namespace that the model sometimes adds, and a call gets a placeholder if Gemini 3 sent none of
 * the signatures that it requires (ai.google.dev/gemini-api/docs/thought-signatures, "FAQs").
 */
export function toSentContent(response: ModelResponse, model: string): Content {
  const content = getResponseContent(response);
  if (content.parts?.some(({ functionCall }) => functionCall !== undefined) !== true) return content;
  const parts = content.parts.map((part) => {
    const { functionCall } = part;
    return functionCall?.name === undefined
      ? part
      : { ...part, functionCall: { ...functionCall, name: toDeclaredName(functionCall.name) } };
  });
  const first = parts.findIndex(({ functionCall }) => functionCall !== undefined);
  const call = parts[first];
  if (call !== undefined && call.thoughtSignature === undefined && !isBeforeGemini3(model)) {
    parts[first] = { ...call, thoughtSignature: placeholderSignature };
  }
  return { ...content, parts };
}

const placeholderSignature = 'skip_thought_signature_validator';

/** Removes the namespace in which Gemini sees declared functions. */
function toDeclaredName(name: string): string {
  return name.replace(/^default_api[:.]/, '').replaceAll('\u0000', '');
}

function getResponseContent(response: ModelResponse): Content {
  return response.content;
}

/** Returns the text of the response, without thoughts. */
export function getResponseText(response: ModelResponse): string {
  const parts = getResponseContent(response).parts ?? [];
  return parts.map((part) => (part.thought === true ? '' : (part.text ?? ''))).join('');
}

/**
 * Returns the response as A2A parts: generated files become file parts; code and its results become data
 * parts.
 */
export function getResponseParts(response: ModelResponse): A2APart[] {
  const [{ parts } = { parts: [] }] = foldArtifacts([
    {
      taskId: '',
      contextId: '',
      artifact: { artifactId: '', parts: (getResponseContent(response).parts ?? []).flatMap(toPart) },
    },
  ]);
  return parts;
}

function toPart(part: Part): A2APart[] {
  const { text = '', thought, inlineData, fileData, executableCode, codeExecutionResult } = part;
  if (thought === true) return [];
  if (inlineData?.data !== undefined) {
    return [{ raw: inlineData.data, ...toFileFields(inlineData) }];
  }
  if (fileData?.fileUri !== undefined) return [{ url: fileData.fileUri, ...toFileFields(fileData) }];
  const code = executableCode ? { executableCode } : codeExecutionResult && { codeExecutionResult };
  if (code !== undefined) {
    return [{ data: JSON.parse(JSON.stringify(code)) as JsonObject, mediaType: 'application/json' }];
  }
  return text === '' ? [] : [{ text }];
}

function toFileFields({ mimeType, displayName }: { mimeType?: string; displayName?: string }) {
  return {
    mediaType: mimeType ?? 'application/octet-stream',
    ...(displayName !== undefined && { filename: displayName }),
  };
}

export function getResponseCalls(response: ModelResponse): (FunctionCall & { name: string })[] {
  const parts = getResponseContent(response).parts ?? [];
  return parts.flatMap(({ functionCall }) =>
    functionCall?.name === undefined ? [] : [{ ...functionCall, name: toDeclaredName(functionCall.name) }],
  );
}
