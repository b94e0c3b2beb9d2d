/** The secrets of a webhook config, in plain text and encrypted. */
import { randomBytes } from 'node:crypto';
import type { Encryptor } from '../crypto/encryption.ts';

export interface WebhookSecrets {
  token: string | null;
  authCredentials: string | null;
  signingSecret: string | null;
  previousSecret?: string | null;
}

/**
 * The column name that each secret is encrypted with. A previous secret keeps the name with which it was
 * encrypted.
 */
const columns = {
  token: 'token',
  authCredentials: 'auth_credentials',
  signingSecret: 'signing_secret',
  previousSecret: 'signing_secret',
} as const;

export function encryptSecrets<T extends WebhookSecrets & { id: string }>(
  encryptor: Encryptor,
  taskId: string,
  config: T,
): T {
  return mapSecrets(taskId, config, (value, place) => encryptor.encrypt(value, place));
}

/** @throws {DecryptionError} if a secret cannot be decrypted */
export function decryptSecrets<T extends WebhookSecrets & { id: string }>(
  encryptor: Encryptor,
  taskId: string,
  config: T,
): T {
  return mapSecrets(taskId, config, (value, place) => encryptor.decrypt(value, place));
}

/** Standard Webhooks: `whsec_` followed by 24 to 64 bytes in base64. */
const secretPrefix = 'whsec_';

export function createSigningSecret(): string {
  return secretPrefix + randomBytes(32).toString('base64');
}

/**
 * Returns an error message for the client, or undefined if the secret is valid. The message never contains
 * the secret.
 */
export function signingSecretProblem(text: string): string | undefined {
  const encoded = text.startsWith(secretPrefix) ? text.slice(secretPrefix.length) : '';
  const bytes = Buffer.from(encoded, 'base64');
  const canonical = bytes.toString('base64').replace(/=+$/, '') === encoded.replace(/=+$/, '');
  if (canonical && bytes.length >= 24 && bytes.length <= 64) return undefined;
  return 'it must be whsec_ followed by 24 to 64 bytes in base64';
}

export function decodeSigningSecret(secret: string): Buffer {
  return Buffer.from(secret.slice(secretPrefix.length), 'base64');
}

function mapSecrets<T extends WebhookSecrets & { id: string }>(
  taskId: string,
  config: T,
  convert: Encryptor['encrypt'],
): T {
  const mapSecret = (name: keyof typeof columns) => {
    const value = config[name] ?? null;
    return value === null ? null : convert(value, { taskId, configId: config.id, column: columns[name] });
  };
  return {
    ...config,
    token: mapSecret('token'),
    authCredentials: mapSecret('authCredentials'),
    signingSecret: mapSecret('signingSecret'),
    ...(config.previousSecret !== undefined && { previousSecret: mapSecret('previousSecret') }),
  };
}
