/**
 * Reads an answer that must be data: JSON that matches the response schema. Models wrap JSON in prose or a
 * code block, write it twice, or leave a trailing comma. Such text is repaired if it can be read in one way
 * only.
 */
import type { JsonSchemaValidator } from '@modelcontextprotocol/client';
import { isDeepStrictEqual } from 'node:util';
import type { Json, JsonObject } from '#shared/domain/message.ts';

/** Returns the data, or what is wrong with the text, as a sentence for the model and for clients. */
export type DataReader = (text: string) => Promise<{ data: Json } | { problem: string }>;

const maxProblemChars = 1000;

/** @param schema a JSON Schema; undefined: any JSON is accepted */
export function createDataReader(schema: JsonObject | undefined): DataReader {
  let compiling: Promise<JsonSchemaValidator<Json> | undefined> | undefined;
  return async (text) => {
    const data = parseData(text);
    if (data === undefined) return { problem: "The model's answer is not valid JSON." };
    if (schema === undefined) return { data };
    const validate = await (compiling ??= compile(schema));
    const result = validate?.(data);
    if (result === undefined || result.valid) return { data };
    const found = result.errorMessage.slice(0, maxProblemChars);
    return { problem: `The model's answer does not match the response schema: ${found}.` };
  };
}

/**
 * Loads the validator of the MCP client with the first answer. A schema that it cannot compile is left to the
 * model, which has accepted it.
 */
async function compile(schema: JsonObject): Promise<JsonSchemaValidator<Json> | undefined> {
  const { AjvJsonSchemaValidator } = await import('@modelcontextprotocol/client/validators/ajv');
  try {
    return new AjvJsonSchemaValidator().getValidator<Json>(schema);
  } catch {
    return undefined;
  }
}

/** Returns the only JSON value in a text, or undefined. */
export function parseData(text: string): Json | undefined {
  const whole = tryParse(text.replace(/^\uFEFF/, ''));
  if (whole !== undefined) return whole;
  const fenced = /^\s*```\w*\s*\n([\s\S]*?)\n?\s*```\s*$/.exec(text)?.[1];
  const inFence = fenced === undefined ? undefined : tryParse(fenced);
  if (inFence !== undefined) return inFence;
  const pieces = findBracketed(text);
  // In prose, brackets such as "[1]" may be something else than the answer.
  const inProse = pieces?.reduce((rest, piece) => rest.replace(piece, ''), text).trim() !== '';
  if (pieces === undefined || (inProse && pieces.some((piece) => piece.startsWith('[')))) return undefined;
  const found = pieces.map((piece) => tryParse(piece) ?? tryParse(withoutTrailingCommas(piece)));
  const [first] = found;
  return found.every((value) => value !== undefined && isDeepStrictEqual(value, first)) ? first : undefined;
}

function tryParse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/**
 * Returns the outermost objects and arrays of a text, or undefined if a bracket or a string within them is not
 * closed.
 */
function findBracketed(text: string): string[] | undefined {
  const pieces: string[] = [];
  let depth = 0;
  let start = 0;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\[\s\S])*"?|[[\]{}]/g)) {
    if (token.startsWith('"')) {
      if (depth > 0 && (token.length === 1 || !token.endsWith('"'))) return undefined;
    } else if (token === '{' || token === '[') {
      if (depth === 0) start = index;
      depth += 1;
    } else if (depth > 0) {
      depth -= 1;
      if (depth === 0) pieces.push(text.slice(start, index + 1));
    }
  }
  return depth === 0 && pieces.length > 0 ? pieces : undefined;
}

/** Removes commas before a closing bracket, except in strings. */
function withoutTrailingCommas(json: string): string {
  return json.replaceAll(/("(?:[^"\\]|\\[\s\S])*")|,(?=\s*[}\]])/g, (_, string?: string) => string ?? '');
}
