/**
 * Verifies webhooks as Standard Webhooks describes (https://www.standardwebhooks.com): `v1` is HMAC-SHA256 with a secret,
 * `v1a` is Ed25519 with the agent's key. The id, the time and the body are signed; other headers are not.
 */
import { createHmac, timingSafeEqual, verify as verifySignature } from 'node:crypto';
import { decodeSigningSecret, signingSecretProblem } from '#shared/webhooks/secrets.ts';
import { WebhookError } from './error.ts';
import { parseEvent, type WebhookEvent } from './event.ts';
import { someKey, type JsonWebKeySet } from './keys.ts';

/** A `Request` of the Fetch standard, or the headers and the body as received. */
export type WebhookRequest =
  | Request
  | {
      headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>;
      /** The bytes or the text as received, before any parsing: the signature covers them. */
      body: string | Uint8Array;
    };

export type VerifyOptions = (
  | {
      /** The secret of the config (`whsec_…`), or several of them while it is being changed. */
      secret: string | readonly string[];
      jwks?: undefined;
      /** The URL of the webhook. If given, webhooks for another one are refused. */
      url?: string | URL;
    }
  | {
      /** The agent's public keys, or their URL: `/.well-known/webhook-jwks.json` of the agent. */
      jwks: string | URL | JsonWebKeySet;
      secret?: undefined;
      /**
       * The URL of the webhook, as it was registered. The agent signs the webhooks of all receivers with one key, so any of
       * them could pass its webhooks on to you.
       */
      url: string | URL;
    }
) & {
  /** The largest difference between the time of the request and now, in seconds. Default: 300. */
  toleranceSeconds?: number;
};

/**
 * Verifies a webhook and returns its event. An event may arrive more than once, under the same `id`: see `WebhookDedupe`.
 *
 * @throws {WebhookError} if the request is not a webhook of the agent
 * @throws {TypeError} if an option is not valid, or the body was already parsed
 * @throws {Error} if the keys cannot be read. Answer with 500: the webhook is sent again
 */
export async function verify(request: WebhookRequest, options: VerifyOptions): Promise<WebhookEvent> {
  const { jwks, toleranceSeconds = 300 } = options;
  const secrets = readSecrets(options);
  const url = readUrl(options);
  const body = await readBody(request);
  const header = (name: string): string => readHeader(request.headers, name);
  const id = header('webhook-id');
  const timestamp = header('webhook-timestamp');
  const signatures = header('webhook-signature').split(' ');
  // The signed text is <id>.<timestamp>.<body>: with dots in the id it could be read in two ways.
  if (id.includes('.')) throw new WebhookError('malformed', 'webhook-id must have no dots.');
  if (!/^\d{1,12}$/.test(timestamp)) {
    throw new WebhookError('malformed', 'webhook-timestamp must be seconds since 1970.');
  }
  const sentAt = new Date(Number(timestamp) * 1000);
  const differenceSeconds = Math.abs(Date.now() - sentAt.getTime()) / 1000;
  if (differenceSeconds > toleranceSeconds) {
    throw new WebhookError(
      'expired',
      `The request differs from the time of this receiver by ${Math.round(differenceSeconds)} s (at most ${toleranceSeconds} s).`,
    );
  }
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const isValid =
    jwks === undefined
      ? isSignedBySecret(content, getSignatures(signatures, 'v1'), secrets)
      : await isSignedByKey(content, getSignatures(signatures, 'v1a'), jwks);
  if (!isValid) {
    throw new WebhookError('signature', `No ${jwks === undefined ? 'v1' : 'v1a'} signature matches.`);
  }
  const truncated = readOptionalHeader(request.headers, 'longhaul-truncated') === 'true';
  const event = parseEvent(body, { id, sentAt, truncated });
  if (url !== undefined && event.audience !== url) {
    throw new WebhookError('audience', `The webhook was not made for ${url}.`);
  }
  return event;
}

function readUrl({ jwks, url }: VerifyOptions): string | undefined {
  if (url === undefined && jwks === undefined) return undefined;
  if (url === undefined || !URL.canParse(String(url))) {
    throw new TypeError(
      'url must be the URL of the webhook, as it was registered. With jwks it is required.',
    );
  }
  return new URL(url).href;
}

function readSecrets({ secret, jwks }: VerifyOptions): readonly string[] {
  if ((secret === undefined) === (jwks === undefined)) {
    throw new TypeError('verify needs exactly one of secret and jwks.');
  }
  const secrets = typeof secret === 'string' ? [secret] : (secret ?? []);
  if (jwks === undefined && secrets.length === 0) throw new TypeError('secret must not be empty.');
  for (const text of secrets) {
    const problem = typeof text === 'string' ? signingSecretProblem(text) : 'it must be a text';
    if (problem !== undefined) throw new TypeError(`secret is not valid: ${problem}.`);
  }
  return secrets;
}

async function readBody(request: WebhookRequest): Promise<Buffer> {
  if (request instanceof Request) return Buffer.from(await request.arrayBuffer());
  const { body } = request;
  if (typeof body === 'string') return Buffer.from(body);
  if (body instanceof Uint8Array) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  throw new TypeError('body must be the text or the bytes as received, not a parsed value.');
}

type RequestHeaders = WebhookRequest['headers'];

function readHeader(headers: RequestHeaders, name: string): string {
  const value = readOptionalHeader(headers, name);
  if (value === undefined || value === '')
    throw new WebhookError('malformed', `The header ${name} is missing.`);
  return value;
}

function readOptionalHeader(headers: RequestHeaders, name: string): string | undefined {
  if (headers instanceof Headers) return headers.get(name) ?? undefined;
  const value = headers[name] ?? Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];
  return typeof value === 'string' ? value : value?.join(', ');
}

function getSignatures(signatures: readonly string[], version: string): Buffer[] {
  return signatures
    .filter((signature) => signature.startsWith(`${version},`))
    .map((signature) => Buffer.from(signature.slice(version.length + 1), 'base64'));
}

function isSignedBySecret(
  content: Buffer,
  signatures: readonly Buffer[],
  secrets: readonly string[],
): boolean {
  const expected = secrets.map((secret) =>
    createHmac('sha256', decodeSigningSecret(secret)).update(content).digest(),
  );
  return signatures.some((signature) =>
    expected.some((hash) => hash.length === signature.length && timingSafeEqual(hash, signature)),
  );
}

async function isSignedByKey(
  content: Buffer,
  signatures: readonly Buffer[],
  jwks: string | URL | JsonWebKeySet,
): Promise<boolean> {
  if (signatures.length === 0) {
    throw new WebhookError('signature', 'The request has no v1a signature: its agent has no signing keys.');
  }
  return someKey(jwks, (key) =>
    signatures.some((signature) => verifySignature(null, content, key, signature)),
  );
}
