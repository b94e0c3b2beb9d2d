/** Apart from the rest of the extension, because browsers need them too (longhaul/ai-sdk/chat). */

/** Identifies the extension in the agent card and in metadata. */
export const webhooksExtensionUri = 'https://longhaul.dev/ext/webhooks/v1';

/** Carries the options as JSON. */
export const webhookOptionsHeader = 'longhaul-webhook-options';
