/**
 * Encrypts contents with the data key of their owner, by AES-256-GCM. A value is bound to its owner, its task and its kind: it
 * cannot be decrypted in another row or column. Data keys are wrapped by a master key, which stays outside the database.
 */
import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto';
import { createEncryptor, DecryptionError, type EncryptionKeys } from './encryption.ts';

/** Which column a value belongs to. Columns that are copied to each other in SQL share a kind. */
export type ContentKind =
  | 'answer'
  | 'artifact'
  | 'error'
  | 'event'
  | 'file'
  | 'filename'
  | 'message'
  | 'metadata'
  | 'output'
  | 'reply'
  | 'request'
  | 'schema'
  | 'template';

export interface DataKey {
  id: string;
  owner: string;
  key: KeyObject;
}

/** Wraps data keys. A network call, or none: see gcp/kms.ts and `createLocalMasterKey`. */
export interface MasterKey {
  wrap(key: Buffer, owner: string): Promise<string>;
  /** @throws {Error} if the key was not wrapped by this master key for this owner */
  unwrap(wrapped: string, owner: string): Promise<Buffer>;
}

/**
 * Keeps wrapped data keys outside the database, so that its backups do not have them: a key that was deleted here is lost.
 * See key-directory.ts and gcp/key-bucket.ts.
 */
export interface KeyStore {
  write(id: string, wrapped: string): Promise<void>;
  /** @returns undefined if there is none */
  read(id: string): Promise<string | undefined>;
  delete(id: string): Promise<void>;
}

/** Where a value belongs. */
export interface ContentPlace {
  kind: ContentKind;
  taskId: string;
  /** The number of a piece of a file, and whether it is the last one. */
  piece?: string;
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/** Bytes by which a value grows. */
export const cipherOverhead = nonceBytes + tagBytes;

export function encryptContent(key: DataKey, place: ContentPlace, plain: string | Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv(algorithm, key.key, nonce).setAAD(toBytes(key, place));
  const first = typeof plain === 'string' ? cipher.update(plain, 'utf8') : cipher.update(plain);
  return Buffer.concat([nonce, first, cipher.final(), cipher.getAuthTag()]);
}

/** @throws {DecryptionError} if the value was not encrypted for this place with this key */
export function decryptContent(key: DataKey, place: ContentPlace, bytes: Buffer): Buffer {
  try {
    const decipher = createDecipheriv(algorithm, key.key, bytes.subarray(0, nonceBytes))
      .setAAD(toBytes(key, place))
      .setAuthTag(bytes.subarray(-tagBytes));
    return Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]);
  } catch (error) {
    throw new DecryptionError(`a stored ${place.kind} was altered, or moved from another row`, {
      cause: error,
    });
  }
}

/** Keeps the master key in this process. The first key wraps, and all unwrap. */
export function createLocalMasterKey(keys: EncryptionKeys): MasterKey {
  const encryptor = createEncryptor(keys, 'CONTENT_ENCRYPTION_KEYS');
  const toContext = (owner: string) => ({ taskId: '', configId: owner, column: 'content_keys' });
  return {
    wrap: (key, owner) => Promise.resolve(encryptor.encrypt(key.toString('base64'), toContext(owner))),
    unwrap: async (wrapped, owner) => Buffer.from(encryptor.decrypt(wrapped, toContext(owner)), 'base64'),
  };
}

/** JSON delimits the fields unambiguously. Callers may write the id of a task in capitals. */
function toBytes({ owner }: DataKey, { kind, taskId, piece }: ContentPlace): Buffer {
  const id = kind === 'template' ? taskId : taskId.toLowerCase();
  return Buffer.from(JSON.stringify([owner, id, kind, piece ?? null]));
}
