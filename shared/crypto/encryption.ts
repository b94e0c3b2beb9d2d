/**
 * Encrypts secrets at rest (invariant 12) with AES-256-GCM. The first key encrypts, and all keys decrypt, so
 * that keys are rotated without downtime. A value is bound to its row and column. It cannot be decrypted
 * elsewhere.
 *
 * Format: `1.<key id>.<base64url of nonce (12 bytes), ciphertext, tag (16 bytes)>`.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, type KeyObject } from 'node:crypto';

/** At least one key; the first one encrypts. */
export type EncryptionKeys = readonly [EncryptionKey, ...EncryptionKey[]];

export interface EncryptionKey {
  id: string;
  key: KeyObject;
}

/** The row and column that an encrypted value is bound to. */
export interface EncryptionContext {
  taskId: string;
  configId: string;
  column: string;
}

export interface Encryptor {
  encrypt(plain: string, context: EncryptionContext): string;
  /** @throws {DecryptionError} if the value was not encrypted for this context with one of the keys */
  decrypt(encrypted: string, context: EncryptionContext): string;
  /** Replaces the keys from now on. */
  useKeys(keys: EncryptionKeys): void;
}

export class DecryptionError extends Error {
  override readonly name: string = 'DecryptionError';
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;
const tagBytes = 16;

/**
 * Parses `id:base64,id2:base64,…`, each key of 32 bytes. Without problems there is at least one key. Problems
 * never contain a key.
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
      problems.push(`the id "${id}" is used twice`);
    } else {
      const bytes = Buffer.from(encoded, 'base64');
      if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(encoded) || bytes.length !== 32) {
        problems.push(
          `the key "${id}" must be 32 bytes in base64 (create one with: openssl rand -base64 32)`,
        );
      } else {
        keys.push({ id, key: createSecretKey(bytes) });
      }
    }
  }
  // Splitting yields at least one entry, and each entry became a key or a problem.
  return { keys: keys as [EncryptionKey, ...EncryptionKey[]], problems };
}

/** Like `parseEncryptionKeys`. @throws {DecryptionError} listing every problem */
export function requireEncryptionKeys(text: string): EncryptionKeys {
  const { keys, problems } = parseEncryptionKeys(text);
  if (problems.length > 0) throw new DecryptionError(problems.join('; '));
  return keys;
}

/** @param variable the variable that has the keys, for errors */
export function createEncryptor(keys: EncryptionKeys, variable = 'ENCRYPTION_KEYS'): Encryptor {
  let [first] = keys;
  let byId = new Map(keys.map(({ id, key }) => [id, key]));
  return {
    encrypt: (plain, context) => {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, first.key, nonce).setAAD(toBytes(context));
      const encrypted = Buffer.concat([
        nonce,
        cipher.update(plain, 'utf8'),
        cipher.final(),
        cipher.getAuthTag(),
      ]);
      return `1.${first.id}.${encrypted.toString('base64url')}`;
    },
    decrypt: (encrypted, context) => {
      const [version, id = '', encoded = '', ...more] = encrypted.split('.');
      const bytes = Buffer.from(encoded, 'base64url');
      if (version !== '1' || more.length > 0 || bytes.length < nonceBytes + tagBytes) {
        throw new DecryptionError(
          'the stored value does not have the expected format (1.<key id>.<base64url>)',
        );
      }
      const key = byId.get(id);
      if (key === undefined) {
        throw new DecryptionError(
          `the value was encrypted with the key "${id}", which ${variable} does not have`,
        );
      }
      const decipher = createDecipheriv(algorithm, key, bytes.subarray(0, nonceBytes))
        .setAAD(toBytes(context))
        .setAuthTag(bytes.subarray(-tagBytes));
      try {
        return (
          decipher.update(bytes.subarray(nonceBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8')
        );
      } catch (error) {
        throw new DecryptionError(
          `the value was altered, moved, or encrypted with a different key of the id "${id}"`,
          {
            cause: error,
          },
        );
      }
    },
    useKeys: (next) => {
      [first] = next;
      byId = new Map(next.map(({ id, key }) => [id, key]));
    },
  };
}

/** JSON delimits the fields unambiguously. */
function toBytes({ taskId, configId, column }: EncryptionContext): Buffer {
  return Buffer.from(JSON.stringify([taskId, configId, column]));
}
