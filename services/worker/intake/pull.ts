/**
 * Pull mode: the wakeups of turns, and those that Pub/Sub gave up.
 *
 * Pub/Sub counts every nack, also those of workers that were merely full, so a dead letter proves nothing about its
 * task: the database decides (invariant 2). A task that is still to be run is rung for again; one whose attempts are
 * spent is ended by the claim that follows.
 */
import { requestWakeup } from '#shared/db/outbox/outbox.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { pullTurns, type TurnSubscription } from '#shared/gcp/pubsub.ts';
import type { PubSubConfig } from '#shared/runtime/config/common.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { Consumer } from './consumer.ts';

/**
 * Wakeups that wait for a slot or for the answer to their claim at most. More would be kept from workers that have a
 * slot; fewer, and a worker that has many waits for Pub/Sub between its claims.
 */
const maxPrefetch = 500;

export function pullWakeups(
  db: Db,
  config: PubSubConfig,
  concurrency: number,
  consumer: Consumer,
  log: Logger,
): TurnSubscription[] {
  const maxMessages = Math.min(concurrency, maxPrefetch);
  const onDeadLetter = deadLetter(db, log);
  return [
    pullTurns(config, { subscription: config.subscription, maxMessages }, consumer.onTurn, log),
    pullTurns(
      config,
      { subscription: config.deadLetterSubscription, maxMessages: 10 },
      (message) => {
        onDeadLetter(message.taskId).then(message.ack, (error: unknown) => {
          log.warn(
            { taskId: message.taskId, error: errorMessage(error) },
            'a dead letter could not be looked at',
          );
          message.nack();
        });
      },
      log,
    ),
  ];
}

/** Rings again for a task whose wakeup was given up, where it is still to be run. */
export function deadLetter(db: Db, log: Logger): (taskId: string) => Promise<void> {
  return async (taskId) => {
    const runnable = await requestWakeup(db, taskId);
    log.warn({ taskId, runnable }, 'a wakeup was given up by Pub/Sub');
  };
}
