/**
 * The consumer of the dead-letter topic. Pub/Sub counts every nack, also those of workers that were merely full, so
 * a dead letter proves nothing about its task: the database decides (invariant 2). A task that is still to be run is
 * rung for again; one whose attempts are spent is ended by the claim that follows.
 */
import { ringAgain } from '#shared/db/bells.ts';
import type { Db } from '#shared/db/database.ts';
import { pullTurns, type TurnSource } from '#shared/gcp/pubsub.ts';
import type { PubSubConfig } from '#shared/runtime/config.ts';
import { messageOf, type Logger } from '#shared/runtime/log.ts';

export function pullDeadLetters(db: Db, config: PubSubConfig, log: Logger): TurnSource {
  return pullTurns(
    config,
    { subscription: config.deadLetterSubscription, maxMessages: 10 },
    (message) => {
      const { taskId, turn } = message;
      ringAgain(db, taskId).then(
        (runnable) => {
          log.warn({ taskId, turn, runnable }, 'a bell was given up by Pub/Sub');
          message.ack();
        },
        (error: unknown) => {
          log.warn({ taskId, error: messageOf(error) }, 'a dead letter could not be looked at');
          message.nack();
        },
      );
    },
    log,
  );
}
