/** Checks answers of a running server against its OpenAPI document. */
import assert from 'node:assert/strict';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { Cleanup } from '../cleanup.ts';
import type { AnyJson as Json } from './any-json.ts';

export interface OpenApiDocument {
  openapi: string;
  paths: Record<string, Record<string, Json>>;
  components: Record<string, Record<string, Json>>;
  [field: string]: Json;
}

export interface Answer {
  method: string;
  /** With or without a query. */
  path: string;
  status: number;
  contentType: string;
  body: unknown;
}

export async function readDocument(url: string, version: '1.0' | '0.3' = '1.0'): Promise<OpenApiDocument> {
  const response = await fetch(`${url}/openapi.json?A2A-Version=${version}`);
  assert.equal(response.status, 200);
  return (await response.json()) as OpenApiDocument;
}

export class DocumentCheck {
  readonly #document: OpenApiDocument;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #compiled = new Map<string, ValidateFunction>();
  readonly #paths: { pattern: RegExp; path: string }[];

  constructor(document: OpenApiDocument) {
    this.#document = document;
    this.#ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/);
    this.#ajv.addFormat('date', /^\d{4}-\d\d-\d\d$/);
    this.#ajv.addFormat('int32', true);
    this.#ajv.addSchema(closeObjects(document) as object, 'openapi');
    this.#paths = Object.keys(document.paths).map((path) => ({
      path,
      pattern: new RegExp(`^${path.replaceAll('.', String.raw`\.`).replaceAll(/\{\w+\}/g, '[^/:]+')}$`),
    }));
  }

  /** Returns the path of the document; undefined if it has none for this request. */
  findPath(method: string, path: string): string | undefined {
    const [pathname = ''] = path.split('?');
    // The tenant may be in the path.
    const plain = pathname.replace(/^\/a2a\/v1\/[^/]+\//, '/a2a/v1/');
    return this.#findExact(method, pathname) ?? this.#findExact(method, plain);
  }

  #findExact(method: string, pathname: string): string | undefined {
    const found = this.#paths.filter((each) => each.pattern.test(pathname)).map((each) => each.path);
    // The one without a parameter is meant.
    const [best] = found.sort((a, b) => a.split('{').length - b.split('{').length);
    return best !== undefined && this.#document.paths[best]?.[method.toLowerCase()] ? best : undefined;
  }

  findOperation(method: string, path: string): Json {
    const found = this.findPath(method, path);
    return found === undefined ? undefined : this.#document.paths[found]?.[method.toLowerCase()];
  }

  /** @throws {assert.AssertionError} if the document does not describe the answer, or differently */
  checkAnswer({ method, path, status, contentType, body }: Answer): void {
    const found = this.findPath(method, path);
    assert.ok(found !== undefined, `the document has no ${method} ${path}`);
    const { responses } = this.findOperation(method, path);
    const key = status in responses ? String(status) : 'default';
    const answer = `${method} ${path} ${status}`;
    assert.ok(key in responses, `${answer} is not in the document`);
    const [type = ''] = contentType.split(';');
    const reference = responses[key].$ref;
    const place = reference ?? `#/paths/${escape(found)}/${method.toLowerCase()}/responses/${key}`;
    const { content = {} } = resolve(this.#document, responses[key]);
    if (status === 204 || status === 304) return;
    assert.ok(type in content, `${answer}: ${type} is not in the document`);
    this.check(`${place}/content/${escape(type)}/schema`, body, answer);
  }

  /** @param pointer to a schema in the document */
  check(pointer: string, value: unknown, what: string): void {
    const known = this.#compiled.get(pointer);
    const validate = known ?? this.#ajv.compile({ $ref: `openapi${pointer}` });
    this.#compiled.set(pointer, validate);
    assert.ok(
      validate(value),
      `${what} does not match the document: ${JSON.stringify(validate.errors?.slice(0, 5))} ${JSON.stringify(value)?.slice(0, 500)}`,
    );
  }
}

export function escape(segment: string): string {
  return segment.replaceAll('~', '~0').replaceAll('/', '~1');
}

export function resolve(document: OpenApiDocument, value: Json): Json {
  if (typeof value?.$ref !== 'string') return value;
  const [section, name] = value.$ref.split('/').slice(-2);
  return document.components[section]?.[name];
}

/** Fields that the document does not have are errors, although clients must accept them. */
function closeObjects(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closeObjects);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, each]) => [name, closeObjects(each)]));
  const isObject = copy['type'] === 'object' && copy['properties'] !== undefined;
  return isObject && !('additionalProperties' in copy) ? { ...copy, additionalProperties: false } : copy;
}

/** Whether the form of the answer depends on the version that the request names. */
function isOfA2a(check: DocumentCheck, method: string, path: string): boolean {
  return path.startsWith('/a2a/v1/') && check.findOperation(method, path)?.tags[0] === 'tasks';
}

/**
 * Checks the JSON of every answer that `fetch` gets from a server until the test ends. Answers of the wrong form fail the
 * call that has asked for them.
 */
export async function checkAnswers(t: Cleanup, url: string): Promise<void> {
  const [current, former] = await Promise.all([
    readDocument(url).then((document) => new DocumentCheck(document)),
    readDocument(url, '0.3').then((document) => new DocumentCheck(document)),
  ]);
  const { fetch: original } = globalThis;
  globalThis.fetch = async (input, init) => {
    const response = await original(input, init);
    const { method, url: target, headers } = new Request(input, { ...init, signal: null });
    const contentType = response.headers.get('content-type') ?? '';
    const { status } = response;
    // Paths that are too long reach no route.
    const isDescribed = target.startsWith(url) && contentType.includes('json') && status !== 414;
    if (!isDescribed || status === 204) return response;
    const path = target.slice(url.length);
    const version = headers.get('a2a-version') ?? new URL(target).searchParams.get('A2A-Version') ?? '0.3';
    // Errors about other versions have the form of 1.0.
    const isCurrent = !/^(0\.3|$)/.test(version) || !isOfA2a(current, method, path);
    const check = isCurrent ? current : former;
    if (check.findPath(method, path) === undefined) return response;
    const body: unknown = await response.clone().json();
    check.checkAnswer({ method, path, status, contentType, body });
    return response;
  };
  t.after(() => {
    globalThis.fetch = original;
  });
}
