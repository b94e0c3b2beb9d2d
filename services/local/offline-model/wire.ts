/**
 * The wire format of `generateContent`, based on the types of Google's SDK, and the paths of the two APIs
 * that use it: the Gemini Developer API and Vertex AI.
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

export type ModelRoute =
  | { kind: 'call'; verb: Verb; model: string; api: Api }
  | { kind: 'list' }
  | { kind: 'get'; model: string };

const developerApiPath = /^\/v1(?:beta|alpha)?\/models(?:\/([^/:]+)(?::(\w+))?)?$/;
const vertexApiPath =
  /^\/v1(?:beta1)?\/(?:projects\/[^/]+\/locations\/[^/]+\/)?publishers\/google\/models(?:\/([^/:]+)(?::(\w+))?)?$/;

/** Returns undefined for a path that neither API serves. */
export function parseRoute(method: string, path: string): ModelRoute | undefined {
  const developer = developerApiPath.exec(path);
  const match = developer ?? vertexApiPath.exec(path);
  if (match === null) return undefined;
  const [, model, name] = match;
  if (method === 'GET' && name === undefined)
    return model === undefined ? { kind: 'list' } : { kind: 'get', model };
  const verb = verbs.find((known) => known === name);
  if (method !== 'POST' || model === undefined || verb === undefined) return undefined;
  return { kind: 'call', verb, model, api: developer === null ? 'vertex' : 'developer' };
}

/** Returns the text of a content, including inline text files and excluding thoughts. */
export function getContentText(content: Content | undefined): string {
  return (content?.parts ?? []).flatMap(getPartText).join('\n');
}

function getPartText(part: Part): string[] {
  if (part.text !== undefined) return part.thought === true ? [] : [part.text];
  const { mimeType, data } = part.inlineData ?? {};
  if (data === undefined || !/^(text\/|application\/json)/.test(mimeType ?? '')) return [];
  return [Buffer.from(data, 'base64').toString('utf8')];
}

/** Returns the last text of the user. Skips function responses after it. */
export function getLastUserText(request: GenerateRequest): string {
  const last = request.contents.findLast(
    (content) => content.role !== 'model' && getContentText(content) !== '',
  );
  return getContentText(last);
}

/** Estimates four characters per token, as Google's documentation does for English. */
export function estimateTextTokens(text: string): number {
  return Math.ceil(text.length / 4);
}

export function estimateContentTokens(contents: readonly Content[]): number {
  let tokens = 0;
  for (const content of contents) {
    for (const part of content.parts ?? []) {
      if (part.text !== undefined) tokens += estimateTextTokens(part.text);
      else if (part.inlineData !== undefined) tokens += 258;
      else tokens += estimateTextTokens(JSON.stringify(part));
    }
  }
  return tokens;
}
