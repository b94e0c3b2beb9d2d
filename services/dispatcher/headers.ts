/**
 * The headers of a webhook: those of A2A (section 4.3.3: the config's authentication and token), those of the Standard
 * Webhooks specification, and our own, which name the event without reading the body.
 */
import type { ClaimedDelivery } from '#shared/db/webhooks/claimed-delivery.ts';
import { isTest, type WebhookBody } from '#shared/webhooks/body.ts';
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

export async function buildHeaders(parts: HeaderParts): Promise<Record<string, string>> {
  const { delivery, secrets, body, signing } = parts;
  const { taskId, configId, seq, attempt, mergedFrom } = delivery;
  const timestamp = Math.floor(parts.now / 1000);
  // The same for every attempt, so that receivers can drop repeats.
  const id = `${taskId}.${configId}.${seq}`;
  const signable = { id, timestamp, body: body.json };
  const signature = signWebhook(
    signable,
    [secrets.signingSecret, secrets.previousSecret ?? null],
    signing.keys,
  );
  const own = ownAuthorization(secrets);
  const token =
    own === undefined && takesToken(secrets)
      ? await createWebhookToken(signable, { url: parts.url, taskId, attempt }, signing)
      : undefined;
  const authorization = own ?? (token && `Bearer ${token}`);
  return {
    'content-type': body.contentType,
    'user-agent': 'Longhaul',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    ...(signature !== undefined && { 'webhook-signature': signature }),
    'longhaul-task-id': taskId,
    ...(isTest(seq) ? { 'longhaul-test': 'true' } : { 'longhaul-event': String(seq) }),
    ...(mergedFrom !== null && { 'longhaul-merged-from': String(mergedFrom) }),
    ...(body.truncated && { 'longhaul-truncated': 'true' }),
    ...(authorization !== undefined && { authorization }),
    ...(secrets.token !== null && { 'x-a2a-notification-token': secrets.token }),
  };
}

type Own = Pick<HeaderParts['secrets'], 'authScheme' | 'authCredentials'>;

function ownAuthorization({ authScheme, authCredentials }: Own): string | undefined {
  if (authScheme === null || authCredentials === null || authCredentials === '') return undefined;
  return `${authScheme} ${authCredentials}`;
}

/** A2A's guide has clients ask for a token by naming the scheme alone; those that name nothing get one as well. */
function takesToken({ authScheme }: Own): boolean {
  return authScheme === null || authScheme === '' || authScheme.toLowerCase() === 'bearer';
}
