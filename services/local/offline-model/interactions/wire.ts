/**
 * The wire format of the Interactions API, as far as the offline model speaks it, after Google's reference
 * (ai.google.dev/api/interactions-api and /gemini-api/docs/interactions, 2026-06-22; types of @google/genai 3.1).
 */
import type { Content, FunctionDeclaration, Part } from '@google/genai';
import { GoogleError } from '../google-error.ts';
import type { GenerateRequest } from '../wire.ts';

export type Status =
  | 'queued'
  | 'in_progress'
  | 'requires_action'
  | 'requires_continuation'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'incomplete'
  | 'budget_exceeded';

interface WireContent {
  type: string;
  text?: string;
  annotations?: object[];
  data?: string;
  uri?: string;
  mime_type?: string;
}

export type WireStep =
  | {
      type: 'user_input' | 'model_output';
      content?: WireContent[];
      error?: { code?: number; message?: string };
    }
  | { type: 'thought'; signature?: string; summary?: WireContent[] }
  | {
      type: 'function_call';
      id: string;
      name: string;
      arguments: Record<string, unknown>;
      signature?: string;
    }
  | { type: 'function_result'; call_id: string; name?: string; result: unknown; is_error?: boolean }
  | ToolStep;

/** A step of a tool that Google runs itself. */
export interface ToolStep {
  type: 'google_search_call' | 'google_search_result' | 'mcp_server_tool_call' | 'mcp_server_tool_result';
  [field: string]: unknown;
}

export interface CreateRequest {
  model?: string;
  agent?: string;
  input?: string | WireStep[];
  background?: boolean;
  store?: boolean;
  stream?: boolean;
  previous_interaction_id?: string;
  continuation_token?: string;
  agent_config?: {
    type: string;
    collaborative_planning?: boolean;
    thinking_summaries?: string;
    visualization?: string;
  };
  environment?: string | { environment_id?: string; [setting: string]: unknown };
  service_tier?: string;
  labels?: Record<string, string>;
  system_instruction?: string;
  tools?: {
    type: string;
    name?: string;
    description?: string;
    parameters?: unknown;
    url?: string;
    allowed_tools?: { tools?: string[] }[];
  }[];
  generation_config?: { max_output_tokens?: number };
  response_format?: { mime_type?: string; schema?: unknown };
  webhook_config?: { uris?: string[]; user_metadata?: Record<string, unknown> };
}

/** On the Gemini API, and on Google Cloud (types of @google/genai 3.1, `vertexai`). */
const route =
  /^\/v1(?:beta|beta1\/projects\/[^/]+\/locations\/[^/]+)?\/interactions(?:\/([^/]+))?(?:\/(cancel))?$/;

export type InteractionRoute = { method: 'create' } | { method: 'get' | 'cancel' | 'delete'; id: string };

/** Returns undefined for a path of another API. */
export function parseInteractionRoute(httpMethod: string, path: string): InteractionRoute | undefined {
  const match = route.exec(path);
  if (match === null) return undefined;
  const [, id, action] = match;
  if (id === undefined) return httpMethod === 'POST' ? { method: 'create' } : undefined;
  if (action === 'cancel') return httpMethod === 'POST' ? { method: 'cancel', id } : undefined;
  if (httpMethod === 'GET') return { method: 'get', id };
  return httpMethod === 'DELETE' ? { method: 'delete', id } : undefined;
}

/** Converts a conversation to the request that the rules of the offline model read. */
export function toGenerateRequest(request: CreateRequest, steps: readonly WireStep[]): GenerateRequest {
  const contents: Content[] = [];
  for (const step of steps) {
    const parts = toParts(step);
    const role = step.type === 'user_input' || step.type === 'function_result' ? 'user' : 'model';
    const last = contents.at(-1);
    if (last?.role === role) last.parts?.push(...parts);
    else contents.push({ role, parts });
  }
  const functionDeclarations = (request.tools ?? []).flatMap(
    ({ type, name = '', description = '', parameters }): FunctionDeclaration[] =>
      type === 'function' ? [{ name, description, parametersJsonSchema: parameters }] : [],
  );
  const { response_format: format, generation_config: generation } = request;
  return {
    contents,
    ...(request.system_instruction !== undefined && {
      systemInstruction: { parts: [{ text: request.system_instruction }] },
    }),
    ...(functionDeclarations.length > 0 && { tools: [{ functionDeclarations }] }),
    generationConfig: {
      ...(generation?.max_output_tokens !== undefined && { maxOutputTokens: generation.max_output_tokens }),
      ...(format?.mime_type !== undefined && { responseMimeType: format.mime_type }),
      ...(format?.schema !== undefined && { responseJsonSchema: format.schema }),
    },
  };
}

export function toInputSteps(input: CreateRequest['input']): WireStep[] {
  return typeof input === 'string'
    ? [{ type: 'user_input', content: [{ type: 'text', text: input }] }]
    : (input ?? []);
}

function toParts(step: WireStep): Part[] {
  switch (step.type) {
    case 'user_input':
    case 'model_output':
      return (step.content ?? []).map(({ text, data, uri, mime_type: mimeType = '' }) => {
        if (text !== undefined) return { text };
        return data === undefined
          ? { fileData: { fileUri: uri ?? '', mimeType } }
          : { inlineData: { data, mimeType } };
      });
    case 'function_call':
      return [{ functionCall: { id: step.id, name: step.name, args: step.arguments } }];
    case 'function_result': {
      const response = step.result as Record<string, unknown>;
      return [{ functionResponse: { id: step.call_id, name: step.name ?? '', response } }];
    }
    case 'thought':
    case 'google_search_call':
    case 'google_search_result':
    case 'mcp_server_tool_call':
    case 'mcp_server_tool_result':
      return [];
    default:
      throw new GoogleError(400, { message: `The step ${JSON.stringify(step)} is not supported.` });
  }
}

/** Converts the parts of a reply to the steps of an answer. */
export function toOutputSteps(parts: readonly Part[]): WireStep[] {
  const steps: WireStep[] = [];
  for (const { text, thought, functionCall, thoughtSignature, inlineData } of parts) {
    const last = steps.at(-1);
    if (functionCall !== undefined) {
      const { id = '', name = '', args = {} } = functionCall;
      const signed = thoughtSignature !== undefined && { signature: thoughtSignature };
      if (signed) steps.push({ type: 'thought', ...signed });
      steps.push({ type: 'function_call', id, name, arguments: args, ...signed });
    } else if (thought === true) {
      steps.push({ type: 'thought', summary: [{ type: 'text', text: text ?? '' }] });
    } else if (inlineData !== undefined) {
      const { data = '', mimeType = '' } = inlineData;
      steps.push({ type: 'model_output', content: [{ type: 'image', data, mime_type: mimeType }] });
    } else if (text !== undefined) {
      const content = last?.type === 'model_output' ? last.content?.at(-1) : undefined;
      if (content?.text === undefined)
        steps.push({ type: 'model_output', content: [{ type: 'text', text }] });
      else content.text = `${content.text}${text}`;
    }
  }
  return steps;
}
