/**
 * Questions of tools to their user (MCP, client/elicitation): the caller of the task gets the forms as its question, and its
 * message becomes the content of the forms.
 */
import { readPlainDecision } from '#shared/agent/approval.ts';
import { textOf, type Json, type JsonObject, type Part } from '#shared/domain/message.ts';

/** The parameters with which a call is made again. */
export interface ToolAnswers {
  inputResponses: JsonObject;
  requestState?: string;
}

const declines = ['decline', 'declined', 'cancel', 'canceled', 'cancelled'];

interface Form {
  key: string;
  message: string;
  properties: [name: string, schema: JsonObject][];
  required: readonly string[];
}

/** Returns the question for the caller: the messages of the forms, and the forms as data. */
export function describeRequests(requests: JsonObject): Part[] {
  const forms = readForms(requests);
  const texts = forms.map(({ message, properties }) => {
    const [only, ...others] = properties;
    if (only === undefined || others.length === 0) return message;
    const fields = properties.map(([name, { type, description, title }]) => {
      const about = description ?? title;
      return `- ${name} (${typeof type === 'string' ? type : 'string'})${typeof about === 'string' ? `: ${about}` : ''}`;
    });
    return [message, 'Answer with a JSON object of these fields:', ...fields].join('\n');
  });
  return [
    { text: texts.join('\n\n') },
    { data: { [elicitationExtension]: { requests } }, mediaType: 'application/json' },
  ];
}

/** Under which the data part of a question has the requests, as MCP sends them. */
const elicitationExtension = 'https://longhaul.dev/ext/elicitation/v1';

/**
 * Returns the responses to the requests, or undefined if the message does not answer them all:
 *
 *   { "<key>": { "action", "content" } }   the responses of MCP as they are
 *   { "<field>": … }                       the content, if one form is open, as data or as text
 *   text                                   the field of a form with one field; decline or cancel: no content
 */
export function toResponses(requests: JsonObject, parts: readonly Part[]): JsonObject | undefined {
  const forms = readForms(requests);
  const text = textOf(parts).trim();
  const data = parts.map((part) => part.data).find(isObject) ?? parseObject(text);
  const responses: JsonObject = {};
  for (const form of forms) {
    const response = respond(form, { data, text, isOnly: forms.length === 1 });
    if (response === undefined) return undefined;
    responses[form.key] = response;
  }
  return responses;
}

function respond(
  form: Form,
  { data, text, isOnly }: { data: JsonObject | undefined; text: string; isOnly: boolean },
): JsonObject | undefined {
  const own = data?.[form.key];
  if (isObject(own)) return typeof own['action'] === 'string' ? own : accept(form, own);
  if (declines.includes(text.toLowerCase())) return { action: 'decline' };
  if (data !== undefined && isOnly) return accept(form, data);
  const [only, ...others] = form.properties;
  if (only === undefined) {
    const approves = readPlainDecision([{ text }]);
    return approves === undefined ? undefined : { action: approves ? 'accept' : 'decline', content: {} };
  }
  if (others.length > 0) return undefined;
  const value = readValue(only[1], text);
  return value === undefined ? undefined : { action: 'accept', content: { [only[0]]: value } };
}

function accept({ required }: Form, content: JsonObject): JsonObject | undefined {
  return required.every((name) => Object.hasOwn(content, name)) ? { action: 'accept', content } : undefined;
}

/** Reads the value of a field from a text; undefined: it is none. */
function readValue(schema: JsonObject, text: string): Json | undefined {
  if (text === '') return undefined;
  const choices = [schema['oneOf'], schema['enum']].find(Array.isArray);
  if (choices !== undefined) {
    const wanted = text.toLowerCase();
    for (const choice of choices) {
      const [value, title] = isObject(choice) ? [choice['const'], choice['title']] : [choice, choice];
      if ([value, title].some((name) => String(name).toLowerCase() === wanted)) return value;
    }
    return undefined;
  }
  const { type } = schema;
  if (type === 'boolean') return readPlainDecision([{ text }]);
  if (type === 'array') return text.split(',').map((item) => item.trim());
  if (type !== 'number' && type !== 'integer') return text;
  const value = Number(text);
  return Number.isFinite(value) && (type === 'number' || Number.isInteger(value)) ? value : undefined;
}

function readForms(requests: JsonObject): Form[] {
  return Object.entries(requests).map(([key, request]) => {
    const params = isObject(request) && isObject(request['params']) ? request['params'] : {};
    const { message, requestedSchema } = params;
    const { properties, required } = isObject(requestedSchema) ? requestedSchema : ({} as JsonObject);
    return {
      key,
      message: typeof message === 'string' ? message : 'The tool asks for input.',
      properties: Object.entries(isObject(properties) ? properties : {}).map(([name, schema]) => [
        name,
        isObject(schema) ? schema : {},
      ]),
      required: Array.isArray(required) ? required.filter((name) => typeof name === 'string') : [],
    };
  });
}

function parseObject(text: string): JsonObject | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const value = JSON.parse(text) as Json;
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
