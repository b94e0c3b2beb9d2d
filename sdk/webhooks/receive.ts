/** The part that the receivers of all frameworks share: verifies a request, drops repeats, calls the handler. */
import type { WebhookDedupe } from './dedupe.ts';
import { WebhookError } from './error.ts';
import type { WebhookEvent } from './event.ts';
import { verify, type VerifyOptions, type WebhookRequest } from './verify.ts';

export type ReceiverOptions = VerifyOptions & {
  /**
   * Handles one event. The request is answered with 204 once it resolves, and with 500 if it rejects: the event is then
   * sent again. The sender waits for 15 seconds, so store the event and return.
   */
  onEvent: (event: WebhookEvent) => void | Promise<void>;
  /** Drops repeated events. Default: none, so `onEvent` may see an event more than once. */
  dedupe?: WebhookDedupe;
  /** A larger body is refused with 413; a smaller one follows. Default: 16 MiB, the most that an agent can send. */
  maxBodyBytes?: number;
};

export interface ReceiverAnswer {
  status: number;
  /** Why the request was refused, for the reader of the attempts at a delivery. */
  problem?: string;
}

export const defaultMaxBodyBytes = 16 * 1024 * 1024;

/** @throws the error of `onEvent`, of `dedupe`, or of reading the keys */
export async function receive(request: WebhookRequest, options: ReceiverOptions): Promise<ReceiverAnswer> {
  const { onEvent, dedupe } = options;
  let event: WebhookEvent;
  try {
    event = await verify(request, options);
  } catch (error) {
    if (error instanceof WebhookError) return toAnswer(error);
    throw error;
  }
  const handle = async (): Promise<void> => onEvent(event);
  await (dedupe === undefined ? handle() : dedupe.once(event.id, handle));
  return { status: 204 };
}

export function toAnswer(error: WebhookError): ReceiverAnswer {
  return { status: error.status, problem: error.message };
}
