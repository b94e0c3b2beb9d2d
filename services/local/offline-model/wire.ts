/**
 * The wire format of `generateContent`, by the types of Google's own SDK, and the two families of paths on which it is
 * spoken: the Gemini Developer API and Vertex AI.
 */
import type { Content, FunctionDeclaration, GroundingMetadata, Part, UsageMetadata } from '@google/genai';

export interface GenerateRequest {
  contents: Content[];
  systemInstruction?: Content;
  tools?: ({ functionDeclarations?: FunctionDeclaration[] } & Record<string, unknown>)[];
  toolConfig?: {
    includeServerSideToolInvocations?: boolean;
    functionCallingConfig?: { mode?: 'AUTO' | 'ANY' | 'NONE' | 'VALIDATED'; allowedFunctionNames?: string[] };
  };
  generationConfig?: GenerationConfig;
}

interface GenerationConfig {
  candidateCount?: number;
  maxOutputTokens?: number;
  temperature?: number;
  topP?: number;
  topK?: number;
  responseMimeType?: string;
  responseSchema?: unknown;
  responseJsonSchema?: unknown;
  thinkingConfig?: { thinkingBudget?: number; thinkingLevel?: string };
}

/** One response body, or one event of a stream. */
export interface GenerateResponse {
  candidates?: {
    content: Content;
    finishReason?: string;
    finishMessage?: string;
    groundingMetadata?: GroundingMetadata;
    index: number;
  }[];
  promptFeedback?: { blockReason: string };
  usageMetadata: UsageMetadata & { candidatesTokenCount?: number };
  modelVersion: string;
  responseId: string;
}

const verbs = ['generateContent', 'streamGenerateContent', 'countTokens'] as const;
type Verb = (typeof verbs)[number];

export type Api = 'developer' | 'vertex';

export type Route =
  { kind: 'call'; verb: Verb; model: string; api: Api } | { kind: 'list' } | { kind: 'get'; model: string };

const GEMINI = /^\/v1(?:beta|alpha)?\/models(?:\/([^/:]+)(?::(\w+))?)?$/;
const VERTEX =
  /^\/v1(?:beta1)?\/(?:projects\/[^/]+\/locations\/[^/]+\/)?publishers\/google\/models(?:\/([^/:]+)(?::(\w+))?)?$/;

/** What a path asks for, or undefined for a path that neither API has. */
export function routeOf(method: string, path: string): Route | undefined {
  const developer = GEMINI.exec(path);
  const match = developer ?? VERTEX.exec(path);
  if (match === null) return undefined;
  const [, model, name] = match;
  if (method === 'GET' && name === undefined)
    return model === undefined ? { kind: 'list' } : { kind: 'get', model };
  const verb = verbs.find((known) => known === name);
  if (method !== 'POST' || model === undefined || verb === undefined) return undefined;
  return { kind: 'call', verb, model, api: developer === null ? 'vertex' : 'developer' };
}

/** The text of a content's parts, thoughts left out; text files sent inline count as text. */
export function textOf(content: Content | undefined): string {
  return (content?.parts ?? []).flatMap(partText).join('\n');
}

function partText(part: Part): string[] {
  if (part.text !== undefined) return part.thought === true ? [] : [part.text];
  const { mimeType, data } = part.inlineData ?? {};
  if (data === undefined || !/^(text\/|application\/json)/.test(mimeType ?? '')) return [];
  return [Buffer.from(data, 'base64').toString('utf8')];
}

/** The text that the user wrote last; answers of functions in between are passed over. */
export function lastUserText(request: GenerateRequest): string {
  const last = request.contents.findLast((content) => content.role !== 'model' && textOf(content) !== '');
  return textOf(last);
}

/** About four characters a token, as Google's documentation estimates for English. */
export function tokensIn(text: string): number {
  return Math.ceil(text.length / 4);
}

export function tokensOf(contents: readonly Content[]): number {
  let tokens = 0;
  for (const content of contents) {
    for (const part of content.parts ?? []) {
      if (part.text !== undefined) tokens += tokensIn(part.text);
      else if (part.inlineData !== undefined) tokens += 258;
      else tokens += tokensIn(JSON.stringify(part));
    }
  }
  return tokens;
}
