/**
 * Calls declared functions that the user names ("use the tool search with {"query": "x"} and the tool clock")
 * and reports their results. Arguments that are not in the text are filled from it by the schema of the
 * function. Several functions in one message are called in parallel.
 */
import type { FunctionDeclaration, FunctionResponse } from '@google/genai';
import { createCallReply, createTextReply, type RequestedCall, type Reply } from '../reply.ts';
import { getLastUserText, type GenerateRequest } from '../wire.ts';
import { fill, type SchemaNode } from './fill-schema.ts';
import { splitWords } from './find.ts';

const maxResultLength = 1500;

export function callFunctions(request: GenerateRequest): Reply | undefined {
  const declared = getDeclaredFunctions(request);
  if (declared.length === 0) return undefined;
  const text = getLastUserText(request);
  const calls = [...findNamed(declared, text), ...(text.length < 2000 ? findImplied(declared, text) : [])];
  const unique = [...new Map(calls.map((requested) => [requested.name, requested])).values()];
  if (unique.length > 0) return createCallReply(unique);
  const [first] = declared;
  const forced = request.toolConfig?.functionCallingConfig?.mode === 'ANY';
  return forced && first !== undefined
    ? createCallReply([{ name: first.name ?? '', args: createArgs(first, text) }])
    : undefined;
}

/** Returns the functions that the request allows the model to call. */
export function getDeclaredFunctions({ tools, toolConfig }: GenerateRequest): FunctionDeclaration[] {
  const { mode, allowedFunctionNames } = toolConfig?.functionCallingConfig ?? {};
  if (mode === 'NONE') return [];
  const all = (tools ?? []).flatMap((tool) => tool.functionDeclarations ?? []);
  return allowedFunctionNames === undefined
    ? all
    : all.filter(({ name = '' }) => allowedFunctionNames.includes(name));
}

/** Finds functions whose exact name is in the text. JSON after the name contains the arguments. */
function findNamed(declared: readonly FunctionDeclaration[], text: string): RequestedCall[] {
  const found = declared.flatMap((declaration) => {
    const name = declaration.name ?? '';
    const match = new RegExp(`(?<![\\w.-])${name.replaceAll(/[.]/g, '\\.')}(?![\\w-]|\\.\\w)`, 'i').exec(
      text,
    );
    if (match === null) return [];
    // A plain word ("search", "clock") is a call only if the text mentions tools or gives arguments.
    const rest = text.slice(match.index + match[0].length);
    const given = /^\W{0,3}\s*(?:tool|function)?\s*(?:with|using|for|on)?\s*:?\s*(?=\{)/i.exec(rest);
    const plain = /^[a-z]+$/i.test(name);
    if (plain && given === null && !/\b(tools?|functions?|call|use|invoke|run)\b/i.test(text)) return [];
    const args = given === null ? undefined : parseLeadingJson(rest.slice(given[0].length));
    return [{ at: match.index, name, args: args ?? createArgs(declaration, text) }];
  });
  return found.sort((a, b) => a.at - b.at).map(({ name, args }) => ({ name, args }));
}

/**
 * Finds functions with all words of their name (two or more) in the text: `get_weather` in "get the weather".
 */
function findImplied(declared: readonly FunctionDeclaration[], text: string): RequestedCall[] {
  const present = new Set(splitWords(text.replaceAll(/[^\p{L}\p{N}_]+/gu, ' ')));
  return declared.flatMap((declaration) => {
    const words = splitWords(declaration.name ?? '');
    if (words.length < 2 || !words.every((word) => present.has(word))) return [];
    if (findNamed([declaration], text).length > 0) return [];
    return [{ name: declaration.name ?? '', args: createArgs(declaration, text) }];
  });
}

function createArgs(
  { parameters, parametersJsonSchema }: FunctionDeclaration,
  text: string,
): Record<string, unknown> {
  const schema: SchemaNode | undefined = parametersJsonSchema ?? parameters;
  const args =
    schema === undefined ? {} : (fill({ type: 'object', ...schema }, text) as Record<string, unknown>);
  return Object.fromEntries(
    Object.entries(args)
      .map(
        ([name, value]) =>
          [name, value === '' && schema?.required?.includes(name) === true ? text : value] as const,
      )
      .filter(([, value]) => value !== '' && value !== null),
  );
}

/** Parses the JSON object at the start of a text. */
function parseLeadingJson(text: string): Record<string, unknown> | undefined {
  for (let end = text.indexOf('}'); end !== -1; end = text.indexOf('}', end + 1)) {
    try {
      return JSON.parse(text.slice(0, end + 1)) as Record<string, unknown>;
    } catch {
      // A longer prefix may parse.
    }
  }
  return undefined;
}

/** Reports the responses of the functions that were called before. */
export function reportFunctionResults({ contents }: GenerateRequest): Reply | undefined {
  const responses = (contents.at(-1)?.parts ?? []).flatMap((part) => part.functionResponse ?? []);
  if (responses.length === 0) return undefined;
  return createTextReply(`${responses.map(describeResponse).join('\n')}\n\n(reported by the offline model)`);
}

function describeResponse({ name, response = {} }: FunctionResponse): string {
  const { error, output } = response;
  if (error !== undefined) return `${name} failed: ${formatValue(error)}`;
  return `${name} returned: ${formatValue(output ?? response)}`;
}

function formatValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > maxResultLength ? `${text.slice(0, maxResultLength)}…` : text;
}
