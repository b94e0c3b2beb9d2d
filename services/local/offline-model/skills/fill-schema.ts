/**
 * Answers in the form of a response schema (OpenAPI's, with types in capitals, or JSON Schema): each field is filled by
 * its name, format and type from what the text has, or left empty.
 */
import type { Reply } from '../reply.ts';
import { lastUserText, textOf } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';
import { find, labelled, toNumber, wordsOf } from './find.ts';
import type { Kind } from './find.ts';
import { rankSentences, sentencesOf } from './summarise.ts';

export interface SchemaNode {
  type?: string | string[];
  format?: string;
  description?: string;
  enum?: unknown[];
  const?: unknown;
  properties?: Record<string, SchemaNode>;
  required?: string[];
  items?: SchemaNode;
  anyOf?: SchemaNode[];
  nullable?: boolean;
  minItems?: number | string;
  maxItems?: number | string;
  $ref?: string;
  $defs?: Record<string, SchemaNode>;
}

const DEEPEST = 8;

export function fillSchema(request: GenerateRequest): Reply | undefined {
  const { responseMimeType, responseSchema, responseJsonSchema } = request.generationConfig ?? {};
  if (responseMimeType !== 'application/json') return undefined;
  const schema = (responseSchema ?? responseJsonSchema ?? plainSchema) as SchemaNode;
  const text = lastUserText(request) || textOf(request.contents.at(-1));
  return { pieces: [{ text: JSON.stringify(fill(schema, text)) }], chunkDelayMs: 20 };
}

/** JSON without a schema: everything that the rules can find. */
const plainSchema: SchemaNode = {
  type: 'object',
  properties: Object.fromEntries(
    ['summary', 'emails', 'urls', 'dates', 'numbers', 'names'].map((name) => [
      name,
      name === 'summary' ? { type: 'string' } : { type: 'array', items: { type: 'string' } },
    ]),
  ),
};

export function fill(schema: SchemaNode, text: string): unknown {
  return value(schema, { name: '', text, root: schema, depth: 0 });
}

interface Place {
  /** The property that is filled. */
  name: string;
  text: string;
  root: SchemaNode;
  depth: number;
}

function value(schema: SchemaNode, at: Place): unknown {
  if (schema.$ref !== undefined)
    return value(at.root.$defs?.[schema.$ref.split('/').at(-1) ?? ''] ?? {}, deeper(at));
  if (schema.const !== undefined) return schema.const;
  if (schema.anyOf !== undefined) return value(schema.anyOf[0] ?? {}, deeper(at));
  if (schema.enum !== undefined) return choice(schema.enum, at);
  const types = [schema.type ?? (schema.properties === undefined ? 'string' : 'object')].flat();
  const type = types.find((one) => one.toLowerCase() !== 'null')?.toLowerCase();
  const empty = schema.nullable === true || types.includes('null') ? null : undefined;
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(at.depth < DEEPEST ? (schema.properties ?? {}) : {}).map(([name, property]) => [
          name,
          value(property, { ...deeper(at), name }),
        ]),
      );
    case 'array':
      return list(schema, at);
    case 'boolean':
      return wordsOf(at.name).every((word) => at.text.toLowerCase().includes(word));
    case 'integer':
      return round(number(at)) ?? (empty === undefined ? 0 : empty);
    case 'number':
      return number(at) ?? (empty === undefined ? 0 : empty);
    case undefined:
    default:
      return string(schema, at) ?? (empty === undefined ? '' : empty);
  }
}

function deeper(at: Place): Place {
  return { ...at, depth: at.depth + 1 };
}

function choice(options: readonly unknown[], { name, text }: Place): unknown {
  const near = (labelled(name, text) ?? text).toLowerCase();
  return options.find((option) => near.includes(String(option).toLowerCase())) ?? options[0];
}

function list(schema: SchemaNode, at: Place): unknown[] {
  const items = schema.items ?? {};
  const kind = kindOf(items, at.name.replace(/s$/, ''));
  const numeric = /^(number|integer)$/i.test(String(items.type));
  const most = Number(schema.maxItems ?? Infinity);
  if (numeric) return find('number', at.text).map(toNumber).slice(0, most);
  if (kind !== undefined) return find(kind, at.text).slice(0, most);
  const label = labelled(at.name, at.text);
  if (/^string$/i.test(String(items.type ?? 'string'))) {
    return (label ?? '')
      .split(/,\s*|\s+and\s+/)
      .filter((item) => item !== '')
      .slice(0, most);
  }
  return Number(schema.minItems ?? 1) > 0 && at.depth < DEEPEST ? [value(items, deeper(at))] : [];
}

/** A number is the one after its label, else after its word, else the first of all. */
function number({ name, text }: Place): number | undefined {
  const label = labelled(name, text);
  const place = text.toLowerCase().indexOf(wordsOf(name).at(-1) ?? '');
  const found = [label ?? '', place > 0 ? text.slice(place) : '', text].flatMap((part) =>
    find('number', part),
  );
  return found[0] === undefined ? undefined : toNumber(found[0]);
}

function round(found: number | undefined): number | undefined {
  return found === undefined ? undefined : Math.round(found);
}

function string(schema: SchemaNode, at: Place): string | undefined {
  const label = labelled(at.name, at.text);
  const kind = kindOf(schema, at.name);
  if (kind !== undefined)
    return find(kind, label ?? '')[0] ?? (kind === 'name' ? label : undefined) ?? find(kind, at.text)[0];
  if (label !== undefined) return label;
  const sentences = sentencesOf(at.text);
  if (/summary|abstract|description|answer|result|text|content/i.test(at.name)) {
    return sentences[rankSentences(sentences)[0] ?? 0];
  }
  if (/title|subject|headline|topic/i.test(at.name)) return sentences[0]?.slice(0, 80);
  return undefined;
}

function kindOf(schema: SchemaNode, name: string): Kind | undefined {
  const words = wordsOf(name);
  const has = (...any: string[]) => any.some((word) => words.includes(word) || schema.format === word);
  if (has('email', 'mail', 'e-mail')) return 'email';
  if (has('url', 'uri', 'link', 'website')) return 'url';
  if (has('date', 'date-time', 'day', 'due', 'deadline')) return 'date';
  if (has('phone', 'telephone')) return 'phone';
  if (has('name', 'person', 'author', 'customer', 'people', 'contact')) return 'name';
  if (has('number', 'amount')) return 'number';
  return undefined;
}
