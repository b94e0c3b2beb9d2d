/** Classifies the response to a webhook, or its absence, as an outcome of the delivery. Pure. */
import type { AttemptOutcome } from '#shared/db/webhooks/attempts/settle.ts';
import { nextAttemptSeconds, parseRetryAfter } from '#shared/domain/retry.ts';
import type { PostResult } from './post.ts';

/** Whether the receiver accepts requests, even if it refused this one. */
export function isUp({ status }: Pick<PostResult, 'status'>): boolean {
  return status !== null && status < 500 && status !== 429;
}

export function isAccepted({ status }: Pick<PostResult, 'status'>): boolean {
  return status !== null && status >= 200 && status < 300;
}

/**
 * @param failures attempts at this delivery that failed before this one
 * @param moment `chance` from 0 to 1, for jitter; `now` in milliseconds since 1970
 */
export function classifyAnswer(
  posted: Pick<PostResult, 'status' | 'error' | 'retryAfter'>,
  failures: number,
  scheduleSeconds: readonly number[],
  moment: { chance: number; now: number },
): AttemptOutcome {
  const { status } = posted;
  if (isAccepted(posted)) return { kind: 'delivered' };
  if (status === 410) return { kind: 'abandoned', reason: 'The receiver answered 410 Gone.' };
  const mayAskToWait = status === 429 || status === 503;
  const retryAfterSeconds = mayAskToWait ? parseRetryAfter(posted.retryAfter, moment.now) : undefined;
  const delaySeconds = nextAttemptSeconds(
    scheduleSeconds,
    { failures: failures + 1, retryAfterSeconds },
    moment.chance,
  );
  if (delaySeconds !== undefined) return { kind: 'retry', delaySeconds };
  const last = status === null ? (posted.error ?? 'no answer') : `status ${status}`;
  return { kind: 'abandoned', reason: `${failures + 1} attempts in a row have failed; the last: ${last}.` };
}
