/**
 * Refuses the requests that Gemini refuses with a 400, so a request that works here works there. Checks the
 * shape of contents, file types, incompatible tools and settings, the pairing of function calls with their
 * responses, and the thought signature that must be returned with a call.
 */
import type { Content, Part } from '@google/genai';
import { GoogleError } from './google-error.ts';
import type { Api, GenerateRequest } from './wire.ts';

/** @throws {GoogleError} 400, with the message of the API if it is known */
export function checkRequest(body: unknown, target: { model: string; api: Api }): GenerateRequest {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalid('Invalid JSON payload received. An object is expected.');
  }
  const request = body as Partial<GenerateRequest>;
  if (!Array.isArray(request.contents) || request.contents.length === 0) {
    throw invalid('* GenerateContentRequest.contents: contents is not specified');
  }
  request.contents.forEach(checkContent);
  for (const part of request.contents.flatMap(({ parts = [] }) => parts)) checkFile(part, target.api);
  checkFunctionTurns(request.contents);
  checkFunctions(request);
  checkTools(request, target);
  checkConfig(request, target.model);
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
      part.toolCall,
      part.toolResponse,
    ].filter((field) => field !== undefined);
    if (data.length > 1 || (data.length === 0 && part.thoughtSignature === undefined)) {
      throw invalid(
        `* GenerateContentRequest.contents[${index}].parts[${at}].data: required oneof field 'data' must have one initialized field`,
      );
    }
  }
}

const supportedMediaTypes =
  /^(?:text\/[\w.+-]+|application\/pdf|image\/(?:png|jpeg|webp|heic|heif)|(?:audio|video)\/[\w.+-]+)$/;

function checkFile({ inlineData, fileData }: Part, api: Api): void {
  const file = inlineData ?? fileData;
  if (file === undefined) return;
  const { mimeType = '' } = file;
  const optional = fileData !== undefined && api === 'developer' && mimeType === '';
  if (!optional && !supportedMediaTypes.test(mimeType)) throw invalid(`Unsupported MIME type: ${mimeType}`);
  if (inlineData !== undefined && !/^(?:[\w+/-]{2,}={0,2})$/.test(inlineData.data ?? '')) {
    throw invalid('Invalid value at inline_data.data (TYPE_BYTES), Base64 decoding failed.');
  }
  const { fileUri = '' } = fileData ?? {};
  const schemes = api === 'vertex' ? /^(?:gs|https?):\/\// : /^https:\/\//;
  if (fileData !== undefined && !schemes.test(fileUri))
    throw invalid(`Invalid or unsupported file uri: ${fileUri}`);
}

function checkFunctionTurns(contents: Content[]): void {
  if (contents[0]?.parts?.some(isResponse) === true) {
    throw invalid('Please ensure that function response turn comes immediately after a function call turn.');
  }
  for (const [index, content] of contents.entries()) {
    const calls = (content.parts ?? []).filter((part) => part.functionCall !== undefined);
    const responses = (contents[index + 1]?.parts ?? []).filter(isResponse);
    if (calls.length > 0 && (index === 0 || contents[index - 1]?.role === 'model')) {
      throw invalid(
        'Please ensure that function call turn comes immediately after a user turn or after a function response turn.',
      );
    }
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

function isResponse({ functionResponse }: Part): boolean {
  return functionResponse !== undefined;
}

/** Checks built-in tools combined with functions, and the combinations that models before Gemini 3 refuse. */
function checkTools(
  { tools = [], toolConfig, generationConfig }: Partial<GenerateRequest>,
  { model, api }: { model: string; api: Api },
): void {
  const kinds = tools.flatMap((tool) => Object.keys(tool));
  const functions = kinds.includes('functionDeclarations');
  const builtIn = kinds.filter((kind) => kind !== 'functionDeclarations');
  const includesBuiltIn = toolConfig?.includeServerSideToolInvocations === true;
  if (api === 'developer' && functions && builtIn.length > 0 && !includesBuiltIn) {
    throw invalid(
      'Built-in tools and function calling can be combined only with tool_config.include_server_side_tool_invocations.',
    );
  }
  if (functions && isBeforeGemini3(model) && generationConfig?.responseMimeType === 'application/json') {
    throw invalid("Function calling with a response mime type: 'application/json' is unsupported");
  }
}

function isBeforeGemini3(model: string): boolean {
  return /^gemini-[12]\b/.test(model);
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

function checkConfig({ generationConfig = {} }: Partial<GenerateRequest>, model: string): void {
  const { temperature, maxOutputTokens, responseSchema, responseJsonSchema, responseMimeType } =
    generationConfig;
  const { thinkingBudget, thinkingLevel } = generationConfig.thinkingConfig ?? {};
  if (thinkingBudget !== undefined && thinkingLevel !== undefined) {
    throw invalid('You can only set only one of thinking budget and thinking level.');
  }
  if (thinkingLevel !== undefined && isBeforeGemini3(model)) {
    throw invalid('Thinking level is not supported for this model.');
  }
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
