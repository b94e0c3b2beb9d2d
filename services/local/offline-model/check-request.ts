/**
 * What Gemini refuses with a 400, so that a request that works here works there: the shape of contents, the pairing of
 * function calls with their responses, and the thought signature that must come back with a call (it may be left out
 * by no client that keeps the model's content as it was).
 */
import type { Content } from '@google/genai';
import { GoogleError } from './google-error.ts';
import type { GenerateRequest } from './wire.ts';

export function checkRequest(body: unknown): GenerateRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('Invalid JSON payload received. An object is expected.');
  }
  const request = body as Partial<GenerateRequest>;
  if (!Array.isArray(request.contents) || request.contents.length === 0) {
    throw invalid('* GenerateContentRequest.contents: contents is not specified');
  }
  request.contents.forEach(checkContent);
  checkFunctionTurns(request.contents);
  checkFunctions(request);
  checkConfig(request);
  return request as GenerateRequest;
}

function checkContent({ role, parts }: Content, index: number): void {
  if (role !== undefined && role !== 'user' && role !== 'model' && role !== 'function') {
    throw invalid('Please use a valid role: user, model.');
  }
  if (!Array.isArray(parts) || parts.length === 0) {
    throw invalid(`* GenerateContentRequest.contents[${index}].parts: contents.parts must not be empty.`);
  }
  for (const [at, part] of parts.entries()) {
    const data = [
      part.text,
      part.inlineData,
      part.fileData,
      part.functionCall,
      part.functionResponse,
      part.executableCode,
      part.codeExecutionResult,
    ].filter((field) => field !== undefined);
    if (data.length > 1 || (data.length === 0 && part.thoughtSignature === undefined)) {
      throw invalid(
        `* GenerateContentRequest.contents[${index}].parts[${at}].data: required oneof field 'data' must have one initialized field`,
      );
    }
  }
}

function checkFunctionTurns(contents: Content[]): void {
  for (const [index, content] of contents.entries()) {
    const calls = (content.parts ?? []).filter((part) => part.functionCall !== undefined);
    const responses = (contents[index + 1]?.parts ?? []).filter(
      (part) => part.functionResponse !== undefined,
    );
    if (calls.length !== responses.length) {
      throw invalid(
        'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.',
      );
    }
    const [first] = calls;
    if (first !== undefined && first.thoughtSignature === undefined) {
      throw invalid(
        `Function call is missing a thought_signature in functionCall parts. Function call \`default_api:${first.functionCall?.name}\`, position ${index + 1}.`,
      );
    }
  }
}

function checkFunctions({ tools }: Partial<GenerateRequest>): void {
  const names = new Set<string>();
  for (const { name = '' } of (tools ?? []).flatMap((tool) => tool.functionDeclarations ?? [])) {
    if (!/^[A-Za-z_][\w.:-]{0,127}$/.test(name)) {
      throw invalid(
        `Invalid function name \`${name}\`. Must start with a letter or an underscore, and be at most 128 characters.`,
      );
    }
    if (names.has(name)) throw invalid(`Duplicate function declaration found: ${name}`);
    names.add(name);
  }
}

function checkConfig({ generationConfig = {} }: Partial<GenerateRequest>): void {
  const { temperature, maxOutputTokens, responseSchema, responseJsonSchema, responseMimeType } =
    generationConfig;
  if (temperature !== undefined && (temperature < 0 || temperature > 2)) {
    throw invalid(`* GenerateContentRequest.generation_config.temperature: must be in the range [0.0, 2.0].`);
  }
  if (maxOutputTokens !== undefined && maxOutputTokens < 1) {
    throw invalid('* GenerateContentRequest.generation_config.max_output_tokens: must be positive.');
  }
  if (responseSchema !== undefined && responseJsonSchema !== undefined) {
    throw invalid('Only one of response_schema and response_json_schema may be set.');
  }
  if ((responseSchema ?? responseJsonSchema) !== undefined && responseMimeType !== 'application/json') {
    throw invalid('Response schema is only supported with response mime type `application/json`.');
  }
}

function invalid(message: string): GoogleError {
  return new GoogleError(400, { message });
}
