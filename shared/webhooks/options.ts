/**
 * What a client may ask of a webhook config beyond A2A's own fields, which have no room for it: in the metadata of
 * SendMessage under the URI of the extension, or in a header (gRPC: metadata) of any call that makes a config.
 */
import { signingSecretProblem } from './secrets.ts';

/** Names the extension in the agent card and in metadata. */
export const webhooksExtensionUri = 'https://longhaul.dev/ext/webhooks/v1';

/** Carries the options as JSON. */
export const webhookOptionsHeader = 'longhaul-webhook-options';

export interface WebhookOptions {
  /** `all`: chunks and progress too; `state`: changes of state; `end`: states in which the task ends or waits. */
  events: 'all' | 'state' | 'end';
  /** Whether an event waits for those before it. */
  ordered: boolean;
  /** Signs the webhooks: `whsec_…`; null: none. */
  signingSecret: string | null;
}

export const defaultWebhookOptions: WebhookOptions = { events: 'state', ordered: true, signingSecret: null };

/** The problem is a sentence for whoever sent the options. */
export function readWebhookOptions(json: unknown): WebhookOptions | { problem: string } {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { problem: 'the options must be a JSON object, such as {"events": "all"}' };
  }
  const { events = 'state', order = 'strict', secret = null, ...unknown } = json as Record<string, unknown>;
  const [surplus] = Object.keys(unknown);
  if (surplus !== undefined) {
    return { problem: `"${surplus}" is no option: there are events, order and secret` };
  }
  if (events !== 'all' && events !== 'state' && events !== 'end') {
    return { problem: 'events must be "all", "state" or "end"' };
  }
  if (order !== 'strict' && order !== 'none') return { problem: 'order must be "strict" or "none"' };
  if (secret !== null && typeof secret !== 'string') return { problem: 'secret must be a string' };
  const problem = secret === null ? undefined : signingSecretProblem(secret);
  if (problem !== undefined) return { problem: `secret is refused: ${problem}` };
  return { events, ordered: order === 'strict', signingSecret: secret };
}

/** Metadata as it may be stored and shown: without the secret. */
export function withoutSecret<T extends Readonly<Record<string, unknown>>>(
  metadata: T | undefined,
): T | undefined {
  const options = metadata?.[webhooksExtensionUri];
  if (metadata === undefined || typeof options !== 'object' || options === null) return metadata;
  const { secret: _, ...rest } = options as Record<string, unknown>;
  return { ...metadata, [webhooksExtensionUri]: rest };
}
