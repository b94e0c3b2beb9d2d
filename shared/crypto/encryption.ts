/**
 * Secrets at rest (invariant 12): AES-256-GCM, under one of several keys, so that keys can be changed without a pause.
 * The first key encrypts; every key opens. A encrypted value opens only at the place it was encrypted for: copied into another
 * row or column it is refused.
 *
 * Form: `1.<key id>.<base64url of nonce (12 bytes), ciphertext, tag (16 bytes)>`.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto';

/** The first one encrypts. */
export type EncryptionKeys = readonly [EncryptionKey, ...EncryptionKey[]];

export interface EncryptionKey {
  id: string;
  key: KeyObject;
}

/** Where a encrypted value stands. */
export interface EncryptionContext {
  taskId: string;
  configId: string;
  column: string;
}

export interface Encryptor {
  encrypt(plain: string, place: EncryptionContext): string;
  /** @throws {DecryptionError} where the value was not encrypted for this place with one of the keys */
  decrypt(encrypted: string, place: EncryptionContext): string;
  /** Takes other keys from now on. */
  useKeys(keys: EncryptionKeys): void;
}

export class DecryptionError extends Error {
  override readonly name = 'DecryptionError';
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Reads `id:base64,id2:base64,…`, each key of 32 bytes. There are keys where there are no problems; the problems never
 * show a key.
 */
export function parseEncryptionKeys(text: string): { keys: EncryptionKeys; problems: string[] } {
  const keys: EncryptionKey[] = [];
  const problems: string[] = [];
  const entries = text.split(',').map((entry) => entry.trim());
  for (const [index, entry] of entries.entries()) {
    const [id = '', encoded, ...more] = entry.split(':');
    const which = `entry ${index + 1}`;
    if (encoded === undefined || more.length > 0) {
      problems.push(`${which} must have the form id:base64`);
    } else if (!/^[A-Za-z0-9_-]{1,32}$/.test(id)) {
      problems.push(`the id of ${which} must be 1 to 32 letters, digits, "-" or "_"`);
    } else if (keys.some((key) => key.id === id)) {
      problems.push(`the id "${id}" stands twice`);
    } else {
      const bytes = Buffer.from(encoded, 'base64');
      if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded) || bytes.length !== 32) {
        problems.push(`the key "${id}" must be 32 bytes in base64 (make one with: openssl rand -base64 32)`);
      } else {
        keys.push({ id, key: createSecretKey(bytes) });
      }
    }
  }
  // Splitting yields at least one entry, and each made a key or a problem.
  return { keys: keys as unknown as EncryptionKeys, problems };
}

/** @throws {DecryptionError} with every problem */
export function requireEncryptionKeys(text: string): EncryptionKeys {
  const { keys, problems } = parseEncryptionKeys(text);
  if (problems.length > 0) throw new DecryptionError(problems.join('; '));
  return keys;
}

export function createEncryptor(keys: EncryptionKeys): Encryptor {
  let [first] = keys;
  let byId = new Map(keys.map((one) => [one.id, one.key]));
  return {
    encrypt: (plain, place) => {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, first.key, nonce).setAAD(toBytes(place));
      const encrypted = Buffer.concat([
        nonce,
        cipher.update(plain, 'utf8'),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
      return `1.${first.id}.${encrypted.toString('base64url')}`;
    },
    decrypt: (encrypted, place) => {
      const [version, id = '', encoded = '', ...more] = encrypted.split('.');
      const bytes = Buffer.from(encoded, 'base64url');
      if (version !== '1' || more.length > 0 || bytes.length < nonceBytes + tagBytes) {
        throw new DecryptionError('the stored value is not in a form that this version encrypts');
      }
      const key = byId.get(id);
      if (key === undefined) {
        throw new DecryptionError(
          `the value was encrypted with the key "${id}", which ENCRYPTION_KEYS no longer has`,
        );
      }
      const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes))
        .setAAD(toBytes(place))
        .setAuthTag(bytes.subarray(-tagBytes));
      try {
        return (
          decipher.update(bytes.subarray(nonceBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8')
        );
      } catch (error) {
        throw new DecryptionError(`the value was changed, moved, or encrypted with another key "${id}"`, {
          cause: error,
        });
      }
    },
    useKeys: (next) => {
      [first] = next;
      byId = new Map(next.map((one) => [one.id, one.key]));
    },
  };
}

/** JSON keeps the fields apart, whatever they contain. */
function toBytes(place: EncryptionContext): Buffer {
  return Buffer.from(JSON.stringify([place.taskId, place.configId, place.column]));
}
