/** The options of a webhook config in a call: see shared/webhooks/options.ts for what they are and where they stand. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { callState } from '../../handler/call-state.ts';
import {
  defaultWebhookOptions,
  readWebhookOptions,
  webhookOptionsHeader,
  webhooksExtensionUri,
  type WebhookOptions,
} from '#shared/webhooks/options.ts';

const optionsHeader = callState<string>('longhaul.webhookOptions');

/** Remembers the header of the call. */
export function setWebhookOptions(context: ServerCallContext, header: string | undefined): void {
  optionsHeader.set(context, header);
}

/**
 * @param metadata of the request, which counts before the header
 * @throws {RequestMalformedError} where they cannot be read
 */
export function getWebhookOptions(
  context: ServerCallContext,
  metadata?: Readonly<Record<string, unknown>>,
): WebhookOptions {
  const named = metadata?.[webhooksExtensionUri];
  if (named !== undefined) return checked(`metadata["${webhooksExtensionUri}"]`, named);
  const header = optionsHeader.get(context);
  return header !== undefined ? checked(webhookOptionsHeader, parse(header)) : defaultWebhookOptions;
}

function checked(where: string, json: unknown): WebhookOptions {
  const options = readWebhookOptions(json);
  if ('problem' in options) throw new RequestMalformedError(`${where}: ${options.problem}`);
  return options;
}

function parse(header: string): unknown {
  try {
    return JSON.parse(header);
  } catch {
    throw new RequestMalformedError(`${webhookOptionsHeader} is not valid JSON`);
  }
}
