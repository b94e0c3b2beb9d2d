/**
 * Reads the webhook options of a call; shared/webhooks/options.ts describes them and where clients send them.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { ServerCallContext } from '@a2a-js/sdk/server';
import { createCallState } from '../../handler/call-state.ts';
import { webhookOptionsHeader, webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { defaultWebhookOptions, readWebhookOptions, type WebhookOptions } from '#shared/webhooks/options.ts';

const optionsHeader = createCallState<string>('longhaul.webhookOptions');

/** Stores the header of the call in its context. */
export function setWebhookOptions(context: ServerCallContext, header: string | undefined): void {
  optionsHeader.set(context, header);
}

/**
 * Returns the options from the metadata, else those from the header, else the defaults.
 *
 * @param metadata of the request
 * @throws {RequestMalformedError} if the options are not valid
 */
export function getWebhookOptions(
  context: ServerCallContext,
  metadata?: Readonly<Record<string, unknown>>,
): WebhookOptions {
  const options = metadata?.[webhooksExtensionUri];
  if (options !== undefined) return readOptions(`metadata["${webhooksExtensionUri}"]`, options);
  const header = optionsHeader.get(context);
  return header !== undefined ? readOptions(webhookOptionsHeader, parseJson(header)) : defaultWebhookOptions;
}

function readOptions(source: string, json: unknown): WebhookOptions {
  const options = readWebhookOptions(json);
  if ('problem' in options) throw new RequestMalformedError(`${source}: ${options.problem}`);
  return options;
}

function parseJson(header: string): unknown {
  try {
    return JSON.parse(header);
  } catch {
    throw new RequestMalformedError(`${webhookOptionsHeader} is not valid JSON: send a JSON object`);
  }
}
