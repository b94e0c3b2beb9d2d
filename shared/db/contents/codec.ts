/**
 * The one place where contents are encrypted before they are stored, and decrypted after they are read. Off by default:
 * then every function returns what it was given.
 *
 *   JSON columns   {"enc":"1.<id of the data key>.<base64url>"}, with fields in clear that statements look for
 *   text columns   enc:1.<id of the data key>.<base64url>
 *   files          contents/files.ts
 *
 * Statements see the state of an event, the ids of calls at Google, artifact ids and sizes, but no contents.
 */
import {
  decryptContent,
  encryptContent,
  type ContentKind,
  type DataKey,
} from '../../crypto/content-cipher.ts';
import { LeaseLostError } from '../../domain/errors.ts';
import type { JsonText } from '../../runtime/json-bytes.ts';
import { largeWork, minLargeBytes } from '../../runtime/large-work.ts';
import type { ContentKeys } from './keys.ts';

let current: ContentKeys | undefined;

/** Turns encryption on or off for this process, which has one database. */
export function useContentKeys(keys: ContentKeys | undefined): void {
  current = keys;
}

export function areContentsEncrypted(): boolean {
  return current !== undefined;
}

/** A row of a new task, or of another new place of contents. */
export interface ContentRow {
  taskId: string;
  owner: string;
}

/** Encrypts contents of the rows that it was created for. Null and undefined stay what they are. */
export interface Sealer {
  /** @param clear fields that statements look for */
  json<T extends JsonText | null | undefined>(
    kind: ContentKind,
    taskId: string,
    text: T,
    clear?: Readonly<Record<string, string | number>>,
  ): T;
  text<T extends string | null | undefined>(kind: ContentKind, taskId: string, text: T): T;
  getKey(taskId: string): DataKey | undefined;
}

const plain: Sealer = {
  json: (_kind, _taskId, text) => text,
  text: (_kind, _taskId, text) => text,
  getKey: () => undefined,
};

export async function createSealer(rows: readonly ContentRow[]): Promise<Sealer> {
  const keys = current;
  return keys === undefined ? plain : toSealer(rows, ({ owner }) => keys.getOwn(owner));
}

/** For contents of tasks that were stored before. A task that was removed has no key (`getKey`). */
export async function createSealerOfTasks(taskIds: readonly string[]): Promise<Sealer> {
  const keys = current;
  if (keys === undefined) return plain;
  const owners = await keys.getOwners(taskIds);
  const rows = [...owners].map(([taskId, owner]) => ({ taskId, owner }));
  return toSealer(rows, ({ taskId, owner }) => keys.getOwn(owner, taskId));
}

async function toSealer(
  rows: readonly ContentRow[],
  getKey: (row: ContentRow) => Promise<DataKey | undefined>,
): Promise<Sealer> {
  const found = new Map<string, DataKey>();
  const load = async (row: ContentRow): Promise<void> => {
    const key = await getKey(row);
    if (key !== undefined) found.set(row.taskId, key);
  };
  await Promise.all(rows.map(load));
  const seal = (kind: ContentKind, taskId: string, text: JsonText): string => {
    const key = found.get(taskId);
    if (key === undefined) throw new LeaseLostError(`task ${taskId} was removed`);
    return `1.${key.id}.${encryptContent(key, { kind, taskId }, text).toString('base64url')}`;
  };
  return {
    json: (kind, taskId, text, clear) =>
      (text !== null && text !== undefined
        ? JSON.stringify({ enc: seal(kind, taskId, text), ...clear })
        : text) as typeof text,
    text: (kind, taskId, text) =>
      (typeof text === 'string' ? `${textPrefix}${seal(kind, taskId, text)}` : text) as typeof text,
    getKey: (taskId) => found.get(taskId),
  };
}

const textPrefix = 'enc:';

/** Returns the value of a JSON column as it was before it was stored. */
export async function openJson<T>(kind: ContentKind, taskId: string, value: T): Promise<T> {
  const sealed = current === undefined ? undefined : getSealed(value);
  return sealed === undefined ? value : (JSON.parse(await unseal(kind, taskId, sealed)) as T);
}

/** The same for an aggregate of such values. */
export async function openList<T extends readonly unknown[] | null>(
  kind: ContentKind,
  taskId: string,
  values: T,
): Promise<T> {
  if (current === undefined || values === null) return values;
  // The types of the elements stay the same, one by one, which `map` does not express.
  return (await Promise.all(values.map((value) => openJson(kind, taskId, value)))) as unknown as T;
}

/** The same for a value, or an aggregate of values, that was read as text. */
export async function openJsonText<T extends string | null>(
  kind: ContentKind,
  taskId: string,
  text: T,
): Promise<T> {
  if (current === undefined || text === null || !text.includes('"enc":"1.')) return text;
  const value = JSON.parse(text) as unknown;
  if (Array.isArray(value)) return JSON.stringify(await openList(kind, taskId, value)) as T;
  const sealed = getSealed(value);
  return sealed === undefined ? text : ((await unseal(kind, taskId, sealed)) as T);
}

/** Returns the value of a text column as it was before it was stored. */
export async function openText<T extends string | null | undefined>(
  kind: ContentKind,
  taskId: string,
  text: T,
): Promise<T> {
  if (current === undefined || typeof text !== 'string' || !text.startsWith(`${textPrefix}1.`)) return text;
  return (await unseal(kind, taskId, text.slice(textPrefix.length))) as T;
}

/** Returns the key with this id. */
export function getContentKey(id: string): Promise<DataKey> {
  if (current === undefined) throw new Error('contents are not encrypted');
  return current.get(id);
}

/** Returns whether a value of a JSON column is encrypted, so that a process without keys cannot read it. */
export function isSealed(value: unknown): boolean {
  return getSealed(value) !== undefined;
}

/** The fields of an envelope. Objects with others are contents that were stored before encryption was turned on. */
const fields = new Set(['enc', 'state', 'base', 'interaction']);

function getSealed(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('enc' in value)) return undefined;
  const isEnvelope = typeof value.enc === 'string' && Object.keys(value).every((name) => fields.has(name));
  return isEnvelope && /^1\.[0-9a-f-]{36}\.[\w-]+$/.test(value.enc as string)
    ? (value.enc as string)
    : undefined;
}

async function unseal(kind: ContentKind, taskId: string, sealed: string): Promise<string> {
  const [, id = '', encoded = ''] = sealed.split('.');
  const key = await getContentKey(id);
  const startedAt = performance.now();
  const text = decryptContent(key, { kind, taskId }, Buffer.from(encoded, 'base64url')).toString('utf8');
  // It does not wait: the caller may hold locks of a transaction, or events of other owners.
  if (encoded.length >= minLargeBytes) largeWork.count(performance.now() - startedAt);
  return text;
}
