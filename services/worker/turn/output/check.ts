/**
 * Checks what an agent hands over before any of it is stored: agents in code may be plain JavaScript, and clients
 * could not read a malformed part. Every error names the field and what is accepted.
 */
import { describeUnknownField } from '#shared/agent/problems.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { hasControlCharacter } from '#shared/domain/ids.ts';
import { isBase64 } from '#shared/domain/message.ts';
import type { TurnEndState } from '#shared/domain/task.ts';

const contentFields = ['text', 'raw', 'url', 'data'] as const;
const partFields = [...contentFields, 'mediaType', 'filename', 'metadata'];
const headFields = ['artifactId', 'name', 'description', 'metadata', 'extensions'];
const endStates: readonly TurnEndState[] = [
  'TASK_STATE_COMPLETED',
  'TASK_STATE_INPUT_REQUIRED',
  'TASK_STATE_AUTH_REQUIRED',
  'TASK_STATE_REJECTED',
  'TASK_STATE_FAILED',
  'TASK_STATE_CANCELED',
];

const maxIdChars = 256;
/** The recursion limit of ProtoJSON, in which A2A is defined. */
const maxDepth = 100;

type Fields = Readonly<Record<string, unknown>>;

/** @throws {FatalError} if the value is not a `TurnOutcome` */
export function checkOutcome(value: unknown): void {
  const outcome = toFields('the result of run', value);
  if ('direct' in outcome) {
    checkKnown('', outcome, ['direct']);
    checkContent('direct', outcome['direct']);
    return;
  }
  checkKnown('', outcome, ['state', 'message', 'extensions', 'outOfBand', 'direct']);
  const { state, message, extensions, outOfBand } = outcome;
  if (!endStates.some((known) => known === state)) {
    fail('state', `must be one of ${endStates.join(', ')}, not ${show(state)}`);
  }
  if (state !== 'TASK_STATE_COMPLETED' || message !== undefined) checkContent('message', message);
  if (extensions !== undefined) checkTexts('extensions', extensions);
  if (outOfBand !== undefined && typeof outOfBand !== 'boolean') {
    fail('outOfBand', `must be true or false, not ${show(outOfBand)}`);
  }
}

/**
 * Checks the content of a message.
 *
 * @throws {FatalError} if it is neither a text nor a list of parts
 */
export function checkContent(name: string, content: unknown): void {
  if (typeof content !== 'string') checkParts(name, content);
}

/** @throws {FatalError} if the value is not an `Artifact` */
export function checkArtifact(value: unknown): void {
  const artifact = toFields('artifact', value);
  checkHead(artifact, [...headFields, 'parts']);
  checkParts('artifact.parts', artifact['parts']);
}

/** @throws {FatalError} if the value is not an `Artifact` without parts */
export function checkArtifactHead(value: unknown): void {
  checkHead(toFields('artifact', value), headFields);
}

/** @throws {FatalError} if the value is not a `Part` */
export function checkPart(name: string, value: unknown): void {
  const part = toFields(name, value);
  checkKnown(name, part, partFields);
  const { text, raw, url, data, mediaType, filename, metadata } = part;
  const contents = contentFields.filter((field) => part[field] !== undefined);
  if (contents.length !== 1) {
    const found = contents.length === 0 ? 'none' : contents.join(' and ');
    fail(name, `must have exactly one of ${contentFields.join(', ')}, but has ${found}`);
  }
  checkText(`${name}.text`, text);
  checkText(`${name}.raw`, raw);
  checkText(`${name}.url`, url);
  checkText(`${name}.mediaType`, mediaType);
  checkText(`${name}.filename`, filename);
  if (typeof raw === 'string' && !isBase64(raw)) {
    fail(`${name}.raw`, 'must be base64 (RFC 4648, section 4)');
  }
  if (url === '') fail(`${name}.url`, 'must not be empty');
  if (data !== undefined) checkJson(`${name}.data`, data);
  checkMetadata(`${name}.metadata`, metadata);
}

/**
 * Checks the arguments of a step.
 *
 * @throws {FatalError}
 */
export function checkStep(name: unknown, run: unknown): void {
  if (typeof name !== 'string' || name === '') {
    fail('the name of a step', `must be a text that is not empty, not ${show(name)}`);
  }
  if (name.length > maxIdChars) fail('the name of a step', `must have at most ${maxIdChars} characters`);
  if (typeof run !== 'function') fail(`the step "${name}"`, `must have a function to run, not ${show(run)}`);
}

function checkHead(artifact: Fields, known: readonly string[]): void {
  checkKnown('artifact', artifact, known);
  const { artifactId, name, description, metadata, extensions } = artifact;
  if (typeof artifactId !== 'string' || artifactId === '') {
    fail('artifact.artifactId', `must be a text that is not empty, not ${show(artifactId)}`);
  }
  if (hasControlCharacter(artifactId) || !artifactId.isWellFormed()) {
    fail('artifact.artifactId', 'must have only printable characters');
  }
  if (artifactId.length > maxIdChars) {
    fail('artifact.artifactId', `must have at most ${maxIdChars} characters, not ${artifactId.length}`);
  }
  checkText('artifact.name', name);
  checkText('artifact.description', description);
  checkMetadata('artifact.metadata', metadata);
  if (extensions !== undefined) checkTexts('artifact.extensions', extensions);
}

function checkParts(name: string, parts: unknown): void {
  if (!Array.isArray(parts)) {
    const accepted = name === 'artifact.parts' ? 'a list of parts' : 'a text or a list of parts';
    return fail(name, `must be ${accepted}, not ${show(parts)}`);
  }
  if (parts.length === 0) fail(name, 'must have at least one part');
  for (let index = 0; index < parts.length; index += 1) checkPart(`${name}[${index}]`, parts[index]);
}

function checkKnown(name: string, value: Fields, known: readonly string[]): void {
  for (const field in value) {
    if (value[field] === undefined || known.includes(field)) continue;
    fail(name === '' ? field : `${name}.${field}`, describeUnknownField(field, known));
  }
}

function checkText(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'string') fail(name, `must be a text, not ${show(value)}`);
}

function checkTexts(name: string, value: unknown): void {
  if (!Array.isArray(value)) return fail(name, `must be a list of texts, not ${show(value)}`);
  for (const [index, text] of value.entries()) {
    if (typeof text !== 'string') fail(`${name}[${index}]`, `must be a text, not ${show(text)}`);
  }
}

function checkMetadata(name: string, value: unknown): void {
  if (value === undefined) return;
  toFields(name, value);
  checkJson(name, value);
}

function checkJson(name: string, value: unknown): void {
  const found = findJsonProblem(value, maxDepth);
  if (found !== undefined) fail(name + found.path, found.problem);
}

/**
 * Finds what `JSON.stringify` would drop, change or not accept. A field that is undefined counts as absent.
 */
function findJsonProblem(value: unknown, levels: number): { path: string; problem: string } | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return undefined;
  if (typeof value === 'number') {
    return Number.isFinite(value) ? undefined : { path: '', problem: `must be JSON, which has no ${value}` };
  }
  const isList = Array.isArray(value);
  if (typeof value !== 'object' || !(isList || isPlain(value))) {
    return { path: '', problem: `must be JSON, not ${show(value)}` };
  }
  if (levels === 0) return { path: '', problem: `is nested too deeply (use at most ${maxDepth} levels)` };
  for (const key of isList ? value.keys() : Object.keys(value)) {
    const item: unknown = value[key as keyof typeof value];
    if (item === undefined && !isList) continue;
    const found = findJsonProblem(item, levels - 1);
    if (found !== undefined) return { ...found, path: (isList ? `[${key}]` : `.${key}`) + found.path };
  }
  return undefined;
}

function toFields(name: string, value: unknown): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value) && isPlain(value)) {
    return value as Fields;
  }
  return fail(name, `must be an object, not ${show(value)}`);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Shows a value in an error without its content, which may be large or secret. */
function show(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  if (Array.isArray(value)) return 'a list';
  if (typeof value !== 'object') return `a ${typeof value}`;
  return isPlain(value) ? 'an object' : `a ${value.constructor.name}`;
}

function fail(name: string, problem: string): never {
  throw new FatalError(`The agent's output is not valid: ${name}: ${problem}.`);
}
