/**
 * Verifies the token of a webhook: a JWT (RFC 7519) that the agent signs with its key for a config without credentials, as
 * in A2A's guide to push notifications. Its claims bind everything that a signature `v1a` covers, and the URL.
 */
import { createHash, verify, type KeyObject } from 'node:crypto';
import type { JsonObject } from '#shared/domain/message.ts';
import { WebhookError } from './error.ts';

export interface WebhookToken {
  isSignedBy: (key: KeyObject) => boolean;
  /** @throws {WebhookError} if the token was made for another request or another receiver */
  check: (request: { id: string; timestamp: string; body: Buffer; url: string }) => void;
}

/** Reads the token of an `authorization` header; undefined if there is none: credentials of the receiver are not one. */
export function readToken(authorization: string | undefined): WebhookToken | undefined {
  const [, head, claims, signature] =
    /^bearer +([\w-]+)\.([\w-]+)\.([\w-]+)$/i.exec(authorization?.trim() ?? '') ?? [];
  if (head === undefined || claims === undefined || signature === undefined) return undefined;
  if (parsePart(head)?.['alg'] !== 'EdDSA') return undefined;
  const signed = Buffer.from(`${head}.${claims}`);
  return {
    isSignedBy: (key) => verify(null, signed, key, Buffer.from(signature, 'base64url')),
    check: ({ id, timestamp, body, url }) => {
      const { aud, iat, jti, request_body_sha256: hash } = parsePart(claims) ?? {};
      const isSame =
        iat === Number(timestamp) &&
        typeof jti === 'string' &&
        jti.split('.', 1)[0] === id &&
        hash === createHash('sha256').update(body).digest('hex');
      if (!isSame) throw new WebhookError('signature', 'The token was made for another request.');
      if (aud !== url) throw new WebhookError('audience', `The webhook was not made for ${url}.`);
    },
  };
}

function parsePart(encoded: string): JsonObject | undefined {
  try {
    const json: unknown = JSON.parse(Buffer.from(encoded, 'base64url').toString());
    return typeof json === 'object' && json !== null ? (json as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}
