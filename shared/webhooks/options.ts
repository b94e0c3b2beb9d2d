/**
 * Options of a webhook config that A2A has no fields for. A client sends them in the metadata of SendMessage,
 * under the URI of the extension, or in a header (gRPC: metadata) of any call that creates a config.
 */
import { webhooksExtensionUri } from './extension.ts';
import { signingSecretProblem } from './secrets.ts';

export interface WebhookOptions {
  /**
   * `all`: also chunks and progress; `state`: changes of state; `end`: states in which the task ends or
   * waits.
   */
  events: 'all' | 'state' | 'end';
  /** Whether an event waits for the events before it. */
  ordered: boolean;
  /** Signs the webhooks of this config: `whsec_…`, or null for no such signature. */
  signingSecret: string | null;
}

export const defaultWebhookOptions: WebhookOptions = { events: 'state', ordered: true, signingSecret: null };

/** Reads options from JSON. The problem is an error message for the client, and never contains the secret. */
export function readWebhookOptions(json: unknown): WebhookOptions | { problem: string } {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return { problem: 'the options must be a JSON object, such as {"events": "all"}' };
  }
  const { events = 'state', order = 'strict', secret = null, ...unknown } = json as Record<string, unknown>;
  const [name] = Object.keys(unknown);
  if (name !== undefined) {
    return { problem: `"${name}" is not a valid option (expected events, order or secret)` };
  }
  if (events !== 'all' && events !== 'state' && events !== 'end') {
    return { problem: 'events must be "all", "state" or "end"' };
  }
  if (order !== 'strict' && order !== 'none') return { problem: 'order must be "strict" or "none"' };
  if (secret !== null && typeof secret !== 'string') return { problem: 'secret must be a string' };
  const problem = secret === null ? undefined : signingSecretProblem(secret);
  if (problem !== undefined) return { problem: `secret is not valid: ${problem}` };
  return { events, ordered: order === 'strict', signingSecret: secret };
}

/** Removes the secret from metadata, so that it may be stored and returned. */
export function withoutSecret<T extends Readonly<Record<string, unknown>>>(
  metadata: T | undefined,
): T | undefined {
  const options = metadata?.[webhooksExtensionUri];
  if (metadata === undefined || typeof options !== 'object' || options === null) return metadata;
  const { secret: _, ...rest } = options as Record<string, unknown>;
  return { ...metadata, [webhooksExtensionUri]: rest };
}
