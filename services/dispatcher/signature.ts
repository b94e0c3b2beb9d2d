/**
 * Proof that a webhook is from here: the signatures of Standard Webhooks, `v1` (HMAC-SHA256 by the config's own secret,
 * and by the one before while it is being changed) and `v1a` (Ed25519 by the server's key); and, for configs that
 * brought no credentials, a JWT as in A2A's guide to push notifications.
 */
import { createHash, createHmac, sign } from 'node:crypto';
import { SignJWT } from 'jose';
import { deriveSigningKey } from '#shared/webhooks/secrets.ts';
import type { WebhookKey } from '#shared/crypto/signing-keys.ts';

export interface SigningConfig {
  /** The first signs. */
  keys: readonly WebhookKey[];
  /** `iss`: the address of the front door, beside which the public keys stand. */
  issuer: string;
}

/** One webhook, as it is sent. */
export interface Signable {
  id: string;
  /** Whole seconds since 1970. */
  timestamp: number;
  body: string;
}

const tokenSeconds = 300;

/** The header `webhook-signature`, or undefined where there is nothing to sign with. */
export function signWebhook(
  { id, timestamp, body }: Signable,
  secrets: readonly (string | null)[],
  keys: readonly WebhookKey[],
): string | undefined {
  const content = `${id}.${timestamp}.${body}`;
  const signatures = secrets.flatMap((secret) =>
    secret === null
      ? []
      : [`v1,${createHmac('sha256', deriveSigningKey(secret)).update(content).digest('base64')}`],
  );
  const key = keys[0]?.privateKey;
  if (key !== undefined) signatures.push(`v1a,${sign(null, Buffer.from(content), key).toString('base64')}`);
  return signatures.length === 0 ? undefined : signatures.join(' ');
}

/**
 * A token for one attempt at one URL, bound to the body. Its `jti` is of the attempt, so that a receiver that refuses
 * known ones still takes a repeated attempt.
 *
 * @returns undefined where there is no key
 */
export async function createWebhookToken(
  { id, timestamp, body }: Signable,
  to: { url: URL; taskId: string; attempt: number },
  { keys, issuer }: SigningConfig,
): Promise<string | undefined> {
  const [key] = keys;
  if (key?.privateKey === undefined) return undefined;
  const claims = {
    taskId: to.taskId,
    request_body_sha256: createHash('sha256').update(body).digest('hex'),
  };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', kid: key.kid, typ: 'JWT' })
    .setIssuer(issuer)
    .setAudience(to.url.href)
    .setIssuedAt(timestamp)
    .setExpirationTime(timestamp + tokenSeconds)
    .setJti(`${id}.${to.attempt}`)
    .sign(key.privateKey);
}
