/**
 * Builds the headers of a webhook: those of A2A (section 4.3.3: the config's authentication and token), those
 * of the Standard Webhooks specification, and `longhaul-*` headers, which identify the event so that receivers
 * need not read the body.
 */
import type { ClaimedDelivery } from '#shared/db/webhooks/attempts/claim-rows.ts';
import { isTest, type WebhookBody } from '#shared/webhooks/body.ts';
import { taskIdHeader } from '#shared/webhooks/headers.ts';
import { getMessageId } from '#shared/webhooks/message-id.ts';
import type { WebhookSecrets } from '#shared/webhooks/secrets.ts';
import { createWebhookToken, signWebhook, type SigningConfig } from './signature.ts';

export interface HeaderParts {
  delivery: ClaimedDelivery;
  url: URL;
  secrets: WebhookSecrets & { authScheme: string | null };
  body: WebhookBody;
  signing: SigningConfig;
  /** Milliseconds since 1970. */
  now: number;
}

export function buildHeaders(parts: HeaderParts): Record<string, string> {
  const { delivery, secrets, body, signing } = parts;
  const { taskId, seq, attempt, mergedFrom } = delivery;
  const timestamp = Math.floor(parts.now / 1000);
  const id = getMessageId(delivery);
  const signable = { id, timestamp, body: body.json };
  const configured = getAuthorization(secrets);
  const token =
    configured === undefined && acceptsToken(secrets)
      ? createWebhookToken(signable, { url: parts.url, taskId, attempt }, signing)
      : undefined;
  const authorization = configured ?? (token && `Bearer ${token}`);
  const signature = signWebhook(
    signable,
    [secrets.signingSecret, secrets.previousSecret ?? null],
    // The token proves more than a second signature by the same key, and each takes 55 µs of CPU.
    token === undefined ? signing.keys : [],
  );
  return {
    'content-type': body.contentType,
    'user-agent': 'Longhaul',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    ...(signature !== undefined && { 'webhook-signature': signature }),
    [taskIdHeader]: taskId,
    ...(isTest(seq) ? { 'longhaul-test': 'true' } : { 'longhaul-event': String(seq) }),
    ...(mergedFrom !== null && { 'longhaul-merged-from': String(mergedFrom) }),
    ...(body.truncated && { 'longhaul-truncated': 'true' }),
    ...(authorization !== undefined && { authorization }),
    ...(secrets.token !== null && { 'x-a2a-notification-token': secrets.token }),
  };
}

type Credentials = Pick<HeaderParts['secrets'], 'authScheme' | 'authCredentials'>;

function getAuthorization({ authScheme, authCredentials }: Credentials): string | undefined {
  if (authScheme === null || authCredentials === null || authCredentials === '') return undefined;
  return `${authScheme} ${authCredentials}`;
}

/**
 * In A2A's guide, a client requests a token by naming the scheme alone. A client that names no scheme also
 * gets a token.
 */
function acceptsToken({ authScheme }: Credentials): boolean {
  return authScheme === null || authScheme === '' || authScheme.toLowerCase() === 'bearer';
}
