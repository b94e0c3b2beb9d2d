/** The reasons for which a webhook is refused. */

/**
 * - `malformed`: a header is missing or malformed, or the body is not an event
 * - `expired`: the request is older or newer than the tolerance
 * - `signature`: no signature matches; the body, the id or the time was changed, or the secret is another one
 * - `audience`: the webhook was made for another receiver, which may have passed it on
 * - `too_large`: the body exceeds the limit of the receiver
 */
export type WebhookErrorCode = 'malformed' | 'expired' | 'signature' | 'audience' | 'too_large';

const statuses: Record<WebhookErrorCode, number> = {
  malformed: 400,
  expired: 401,
  signature: 401,
  audience: 401,
  too_large: 413,
};

/** A request is not a webhook of the agent. Its message contains neither secrets nor the body. */
export class WebhookError extends Error {
  override readonly name = 'WebhookError';
  readonly code: WebhookErrorCode;
  /** The HTTP status to answer with. */
  readonly status: number;
  constructor(code: WebhookErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.status = statuses[code];
  }
}
