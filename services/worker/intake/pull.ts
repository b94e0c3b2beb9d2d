/**
 * Pull mode: reads wake-ups from the subscription, and from the dead-letter subscription.
 *
 * Pub/Sub counts every nack, including those of workers that were stopping, so a dead letter does not mean that
 * its task has failed: the database decides (invariant 2). A task that is still runnable gets a new wake-up;
 * the claim that follows ends a task that has no attempts left.
 */
import { isPassing } from '#shared/db/client/errors.ts';
import { requestWakeup } from '#shared/db/outbox/outbox.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { pullTurns, type TurnSubscription } from '#shared/gcp/pubsub.ts';
import type { PubSubConfig } from '#shared/runtime/config/common.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { PullConsumer } from './pull-consumer.ts';

/** See `getPrefetch`. */
const maxPrefetch = 500;
const maxDeadLetters = 10;

/**
 * Returns the maximum number of wake-ups that wait for room or for the answer to their claim. A higher value withholds
 * wake-ups from workers that have room, and a wake-up that waits behind too many others goes to the queue; a lower value
 * makes a worker with much room wait for Pub/Sub between claims.
 */
export function getPrefetch(concurrency: number): number {
  return Math.min(concurrency, maxPrefetch);
}

export function pullWakeups(
  db: Db,
  config: PubSubConfig,
  concurrency: number,
  consumer: Pick<PullConsumer, 'onTurn'>,
  log: Logger,
): TurnSubscription[] {
  const { subscription, deadLetterSubscription } = config;
  const maxMessages = getPrefetch(concurrency);
  const onDeadLetter = createDeadLetterHandler(db, log);
  return [
    pullTurns(config, { subscription, maxMessages }, (message) => consumer.onTurn(message), log),
    pullTurns(
      config,
      { subscription: deadLetterSubscription, maxMessages: maxDeadLetters },
      (message) => {
        onDeadLetter(message.taskId).then(message.ack, (error: unknown) => {
          log[isPassing(error) ? 'debug' : 'warn'](
            { taskId: message.taskId, error: errorMessage(error) },
            'dead letter check failed',
          );
          message.nack();
        });
      },
      log,
    ),
  ];
}

/** Requests a new wake-up for the task of a dead letter if the task is still runnable. */
export function createDeadLetterHandler(db: Db, log: Logger): (taskId: string) => Promise<void> {
  return async (taskId) => {
    const runnable = await requestWakeup(db, taskId);
    log.warn({ taskId, runnable }, 'dead letter received');
  };
}
