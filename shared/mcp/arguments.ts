/** The arguments of tools: one description of each gives both its JSON Schema and its check. */
import type { JsonObject } from '../domain/message.ts';
import { ToolError } from './errors.ts';

export interface Argument {
  type: 'string' | 'integer' | 'boolean' | 'strings';
  description: string;
  /** Values of a string. */
  choices?: readonly string[];
  /** Bounds of an integer, or of the number of strings. */
  min?: number;
  max?: number;
  isRequired?: true;
}

export type Arguments = Readonly<Record<string, Argument>>;

interface Types {
  string: string;
  integer: number;
  boolean: boolean;
  strings: readonly string[];
}

/** The values of arguments by their names. */
export type Values<A extends Arguments> = {
  readonly [Name in keyof A]:
    | Types[A[Name]['type']]
    | (A[Name] extends { isRequired: true } ? never : undefined);
};

/** The JSON Schema of an object. */
export type ObjectSchema = {
  type: 'object';
  properties: Record<string, JsonObject>;
  required?: string[];
  additionalProperties?: false;
};

/** A string is an id, a name or a condition. */
const maxChars = 1_000;

export function toInputSchema(args: Arguments): ObjectSchema {
  const entries = Object.entries(args);
  const required = entries.filter(([, { isRequired }]) => isRequired).map(([name]) => name);
  return {
    type: 'object',
    properties: Object.fromEntries(entries.map(([name, argument]) => [name, toSchema(argument)])),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}

function toSchema({ type, description, choices, min, max }: Argument): JsonObject {
  if (type === 'strings') {
    const bounds = {
      ...(min !== undefined && { minItems: min }),
      ...(max !== undefined && { maxItems: max }),
    };
    return { type: 'array', items: { type: 'string' }, description, ...bounds };
  }
  return {
    type,
    description,
    ...(choices !== undefined && { enum: [...choices] }),
    ...(min !== undefined && { minimum: min }),
    ...(max !== undefined && { maximum: max }),
  };
}

/** How many unknown arguments an error names. */
const maxUnknown = 5;

/** @throws {ToolError} with all problems */
export function readArguments<A extends Arguments>(tool: string, args: A, given: unknown): Values<A> {
  const names = Object.keys(args);
  const accepted = names.length === 0 ? `${tool} has none` : `${tool} has ${names.join(', ')}`;
  if (typeof given !== 'object' || Array.isArray(given)) {
    if (given !== undefined) throw new ToolError(`The arguments must be an object: ${accepted}.`);
  }
  // Some models send null for what they leave out.
  const values = Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== null));
  const unknown = Object.keys(values).filter((name) => !names.includes(name));
  const problems = [
    ...unknown.slice(0, maxUnknown).map((name) => `"${name.slice(0, 40)}" is not an argument`),
    ...(unknown.length > 0 ? [accepted] : []),
    ...names.flatMap((name) => {
      const problem = findProblem(args[name] as Argument, values[name]);
      return problem === undefined ? [] : [`${name} ${problem}`];
    }),
  ];
  if (problems.length > 0) throw new ToolError(`${problems.join('. ')}.`);
  return values as Values<A>;
}

function findProblem(argument: Argument, value: unknown): string | undefined {
  const { type, choices, min = 0, max = Number.MAX_SAFE_INTEGER, isRequired } = argument;
  if (value === undefined)
    return isRequired ? `is required: ${argument.description.replace(/\.$/, '')}` : undefined;
  switch (type) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'must be true or false';
    case 'integer':
      return Number.isInteger(value) && Number(value) >= min && Number(value) <= max
        ? undefined
        : `must be a whole number from ${min} to ${max}`;
    case 'strings':
      return Array.isArray(value) && value.length >= min && value.length <= max && value.every(isShortText)
        ? undefined
        : `must be a list of ${min} to ${max} strings`;
    case 'string':
      if (!isShortText(value)) return `must be a string of 1 to ${maxChars} characters`;
      return choices === undefined || choices.includes(value)
        ? undefined
        : `must be one of ${choices.join(', ')}, not "${value.slice(0, 40)}"`;
    default:
      return type satisfies never;
  }
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxChars;
}
