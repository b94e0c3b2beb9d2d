/**
 * Replies with JSON for a response schema: an OpenAPI schema, with types in capitals, or a JSON Schema. Each
 * field is filled from the text by its name, format and type, or left empty.
 */
import type { Reply } from '../reply.ts';
import { getLastUserText, getContentText, type GenerateRequest } from '../wire.ts';
import { findEntities, findLabelledValue, toNumber, splitWords, type EntityKind } from './find.ts';
import { rankSentences, splitSentences } from './summarise.ts';

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

const maxDepth = 8;

export function fillSchema(request: GenerateRequest): Reply | undefined {
  const { responseMimeType, responseSchema, responseJsonSchema } = request.generationConfig ?? {};
  if (responseMimeType !== 'application/json') return undefined;
  const schema = (responseSchema ?? responseJsonSchema ?? defaultSchema) as SchemaNode;
  const text = getLastUserText(request) || getContentText(request.contents.at(-1));
  return { pieces: [{ text: JSON.stringify(fill(schema, text)) }], chunkDelayMs: 20 };
}

/** Used if the request has no schema: collects everything that the rules find. */
const defaultSchema: SchemaNode = {
  type: 'object',
  properties: Object.fromEntries(
    ['summary', 'emails', 'urls', 'dates', 'numbers', 'names'].map((name) => [
      name,
      name === 'summary' ? { type: 'string' } : { type: 'array', items: { type: 'string' } },
    ]),
  ),
};

/** Creates a value for the schema from the text. */
export function fill(schema: SchemaNode, text: string): unknown {
  return createValue(schema, { name: '', text, root: schema, depth: 0 });
}

interface Position {
  /** The name of the property. */
  name: string;
  text: string;
  root: SchemaNode;
  depth: number;
}

function createValue(schema: SchemaNode, at: Position): unknown {
  if (schema.$ref !== undefined)
    return createValue(at.root.$defs?.[schema.$ref.split('/').at(-1) ?? ''] ?? {}, deeper(at));
  if (schema.const !== undefined) return schema.const;
  if (schema.anyOf !== undefined) return createValue(schema.anyOf[0] ?? {}, deeper(at));
  if (schema.enum !== undefined) return chooseOption(schema.enum, at);
  const types = [schema.type ?? (schema.properties === undefined ? 'string' : 'object')].flat();
  const type = types.find((name) => name.toLowerCase() !== 'null')?.toLowerCase();
  const empty = schema.nullable === true || types.includes('null') ? null : undefined;
  switch (type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(at.depth < maxDepth ? (schema.properties ?? {}) : {}).map(([name, property]) => [
          name,
          createValue(property, { ...deeper(at), name }),
        ]),
      );
    case 'array':
      return createList(schema, at);
    case 'boolean':
      return splitWords(at.name).every((word) => at.text.toLowerCase().includes(word));
    case 'integer':
      return round(findNumber(at)) ?? (empty === undefined ? 0 : empty);
    case 'number':
      return findNumber(at) ?? (empty === undefined ? 0 : empty);
    case undefined:
    default:
      return findString(schema, at) ?? (empty === undefined ? '' : empty);
  }
}

function deeper(at: Position): Position {
  return { ...at, depth: at.depth + 1 };
}

function chooseOption(options: readonly unknown[], { name, text }: Position): unknown {
  const near = (findLabelledValue(name, text) ?? text).toLowerCase();
  return options.find((option) => near.includes(String(option).toLowerCase())) ?? options[0];
}

function createList(schema: SchemaNode, at: Position): unknown[] {
  const items = schema.items ?? {};
  const kind = getEntityKind(items, at.name.replace(/s$/, ''));
  const numeric = /^(number|integer)$/i.test(String(items.type));
  const maxItems = Number(schema.maxItems ?? Infinity);
  if (numeric) return findEntities('number', at.text).map(toNumber).slice(0, maxItems);
  if (kind !== undefined) return findEntities(kind, at.text).slice(0, maxItems);
  const label = findLabelledValue(at.name, at.text);
  if (/^string$/i.test(String(items.type ?? 'string'))) {
    return (label ?? '')
      .split(/,\s*|\s+and\s+/)
      .filter((item) => item !== '')
      .slice(0, maxItems);
  }
  return Number(schema.minItems ?? 1) > 0 && at.depth < maxDepth ? [createValue(items, deeper(at))] : [];
}

/**
 * Returns the number after the label, else after the last word of the name, else the first number in the
 * text.
 */
function findNumber({ name, text }: Position): number | undefined {
  const label = findLabelledValue(name, text);
  const position = text.toLowerCase().indexOf(splitWords(name).at(-1) ?? '');
  const found = [label ?? '', position > 0 ? text.slice(position) : '', text].flatMap((part) =>
    findEntities('number', part),
  );
  return found[0] === undefined ? undefined : toNumber(found[0]);
}

function round(found: number | undefined): number | undefined {
  return found === undefined ? undefined : Math.round(found);
}

function findString(schema: SchemaNode, at: Position): string | undefined {
  const label = findLabelledValue(at.name, at.text);
  const kind = getEntityKind(schema, at.name);
  if (kind !== undefined)
    return (
      findEntities(kind, label ?? '')[0] ??
      (kind === 'name' ? label : undefined) ??
      findEntities(kind, at.text)[0]
    );
  if (label !== undefined) return label;
  const sentences = splitSentences(at.text);
  if (/summary|abstract|description|answer|result|text|content/i.test(at.name)) {
    return sentences[rankSentences(sentences)[0] ?? 0];
  }
  if (/title|subject|headline|topic/i.test(at.name)) return sentences[0]?.slice(0, 80);
  return undefined;
}

function getEntityKind(schema: SchemaNode, name: string): EntityKind | undefined {
  const words = splitWords(name);
  const has = (...any: string[]) => any.some((word) => words.includes(word) || schema.format === word);
  if (has('email', 'mail', 'e-mail')) return 'email';
  if (has('url', 'uri', 'link', 'website')) return 'url';
  if (has('date', 'date-time', 'day', 'due', 'deadline')) return 'date';
  if (has('phone', 'telephone')) return 'phone';
  if (has('name', 'person', 'author', 'customer', 'people', 'contact')) return 'name';
  if (has('number', 'amount')) return 'number';
  return undefined;
}
