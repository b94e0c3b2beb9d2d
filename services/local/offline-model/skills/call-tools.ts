/**
 * Calls declared functions when asked for by name: "use the tool search with {"query": "x"} and the tool clock". Without
 * arguments in the text, they are filled from it by the function's schema. Several in one message are called at once.
 */
import type { FunctionDeclaration } from '@google/genai';
import { call } from '../reply.ts';
import type { Call, Reply } from '../reply.ts';
import { lastUserText } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';
import { fill } from './fill-schema.ts';
import type { SchemaNode } from './fill-schema.ts';
import { wordsOf } from './find.ts';

export function callTools(request: GenerateRequest): Reply | undefined {
  const declared = declaredFunctions(request);
  if (declared.length === 0) return undefined;
  const text = lastUserText(request);
  const calls = [...named(declared, text), ...(text.length < 2000 ? meant(declared, text) : [])];
  const unique = [...new Map(calls.map((one) => [one.name, one])).values()];
  if (unique.length > 0) return call(unique);
  const [first] = declared;
  const forced = request.toolConfig?.functionCallingConfig?.mode === 'ANY';
  return forced && first !== undefined
    ? call([{ name: first.name ?? '', args: argsFor(first, text) }])
    : undefined;
}

/** What may be called in this request. */
export function declaredFunctions({ tools, toolConfig }: GenerateRequest): FunctionDeclaration[] {
  const { mode, allowedFunctionNames } = toolConfig?.functionCallingConfig ?? {};
  if (mode === 'NONE') return [];
  const all = (tools ?? []).flatMap((tool) => tool.functionDeclarations ?? []);
  return allowedFunctionNames === undefined
    ? all
    : all.filter(({ name = '' }) => allowedFunctionNames.includes(name));
}

/** Functions whose very name stands in the text; JSON after it holds their arguments. */
function named(declared: readonly FunctionDeclaration[], text: string): Call[] {
  const found = declared.flatMap((declaration) => {
    const name = declaration.name ?? '';
    const match = new RegExp(`(?<![\\w.-])${name.replaceAll(/[.]/g, '\\.')}(?![\\w-]|\\.\\w)`, 'i').exec(
      text,
    );
    if (match === null) return [];
    // A plain word ("search", "clock") is a call only where the text speaks of tools or gives arguments.
    const rest = text.slice(match.index + match[0].length);
    const given = /^\W{0,3}\s*(?:tool|function)?\s*(?:with|using|for|on)?\s*:?\s*(?=\{)/i.exec(rest);
    const plain = /^[a-z]+$/i.test(name);
    if (plain && given === null && !/\b(tools?|functions?|call|use|invoke|run)\b/i.test(text)) return [];
    const args = given === null ? undefined : jsonAt(rest.slice(given[0].length));
    return [{ at: match.index, name, args: args ?? argsFor(declaration, text) }];
  });
  return found.sort((a, b) => a.at - b.at).map(({ name, args }) => ({ name, args }));
}

/** Functions of which every word of the name (two or more) stands in the text: `get_weather` in "get the weather". */
function meant(declared: readonly FunctionDeclaration[], text: string): Call[] {
  const present = new Set(wordsOf(text.replaceAll(/[^\p{L}\p{N}_]+/gu, ' ')));
  return declared.flatMap((declaration) => {
    const words = wordsOf(declaration.name ?? '');
    if (words.length < 2 || !words.every((word) => present.has(word))) return [];
    if (named([declaration], text).length > 0) return [];
    return [{ name: declaration.name ?? '', args: argsFor(declaration, text) }];
  });
}

function argsFor(
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

/** The JSON object with which a text begins. */
function jsonAt(text: string): Record<string, unknown> | undefined {
  for (let end = text.indexOf('}'); end !== -1; end = text.indexOf('}', end + 1)) {
    try {
      return JSON.parse(text.slice(0, end + 1)) as Record<string, unknown>;
    } catch {
      // A longer piece may parse.
    }
  }
  return undefined;
}
