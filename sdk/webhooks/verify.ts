/**
 * Verifies webhooks as Standard Webhooks describes (https://www.standardwebhooks.com): `v1` is HMAC-SHA256 with a secret,
 * `v1a` is Ed25519 with the agent's key. The id, the time and the body are signed; other headers are not. The agent sends a
 * token (token.ts) instead of `v1a` unless the config has credentials of its own.
 */
import { createHmac, timingSafeEqual, verify as verifySignature, type KeyObject } from 'node:crypto';
import { decodeSigningSecret, signingSecretProblem } from '#shared/webhooks/secrets.ts';
import { WebhookError } from './error.ts';
import { parseEvent, type WebhookEvent } from './event.ts';
import { someKey, type JsonWebKeySet } from './keys.ts';
import { readToken } from './token.ts';

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
  const signed = { id, timestamp, body };
  if (jwks === undefined) {
    checkSecret(signed, header('webhook-signature'), secrets);
  } else {
    await checkKey(signed, request.headers, { jwks, url: url ?? '' });
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

function getSignatures(list: string, version: string): Buffer[] {
  return list
    .split(' ')
    .filter((signature) => signature.startsWith(`${version},`))
    .map((signature) => Buffer.from(signature.slice(version.length + 1), 'base64'));
}

interface Signed {
  id: string;
  timestamp: string;
  body: Buffer;
}

function toContent({ id, timestamp, body }: Signed): Buffer {
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
}

function checkSecret(signed: Signed, list: string, secrets: readonly string[]): void {
  const content = toContent(signed);
  const expected = secrets.map((secret) =>
    createHmac('sha256', decodeSigningSecret(secret)).update(content).digest(),
  );
  const isValid = getSignatures(list, 'v1').some((signature) =>
    expected.some((hash) => hash.length === signature.length && timingSafeEqual(hash, signature)),
  );
  if (!isValid) throw new WebhookError('signature', 'No v1 signature matches.');
}

async function checkKey(
  signed: Signed,
  headers: RequestHeaders,
  { jwks, url }: { jwks: string | URL | JsonWebKeySet; url: string },
): Promise<void> {
  const signatures = getSignatures(readOptionalHeader(headers, 'webhook-signature') ?? '', 'v1a');
  if (signatures.length > 0) {
    const content = toContent(signed);
    const matches = (key: KeyObject): boolean =>
      signatures.some((signature) => verifySignature(null, content, key, signature));
    if (await someKey(jwks, matches)) return;
    throw new WebhookError('signature', 'No v1a signature matches.');
  }
  const token = readToken(readOptionalHeader(headers, 'authorization'));
  if (token === undefined) {
    throw new WebhookError(
      'signature',
      'The request has neither a token nor a v1a signature: its agent has no signing keys.',
    );
  }
  if (!(await someKey(jwks, token.isSignedBy))) {
    throw new WebhookError('signature', 'The token is not signed by a key of the agent.');
  }
  token.check({ ...signed, url });
}
