/**
 * Pull mode, for an agent that declares a version or not (docs/develop/versions.md):
 *
 *   no version          ─▶ pulls wake-ups
 *   the newest version  ─▶ pulls wake-ups, and takes turns that were left to its version
 *   an older version    ─▶ takes only those: no new turn starts, and its turns end one after the other
 *
 * A worker asks at each interval which version is the newest of those that run. Without an answer, it
 * uses the last one.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '#shared/db/client/pool.ts';
import { isPassing } from '#shared/db/client/errors.ts';
import { showVersion, takeVersionedTurns } from '#shared/db/queue/versions.ts';
import type { TurnSubscription } from '#shared/gcp/pubsub.ts';
import type { PubSubConfig } from '#shared/runtime/config/common.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { AgentVersions } from '../agent/version.ts';
import type { Intake } from './intake.ts';
import { createPullConsumer } from './pull-consumer.ts';
import { getPrefetch, pullWakeups } from './pull.ts';

/** Largest number of turns that one statement takes. */
const maxTaken = 100;

export interface PullParts {
  db: Db;
  intake: Intake;
  config: { pubsub: PubSubConfig; concurrency: number; reconcileMs: number };
  versions: AgentVersions;
  log: Logger;
}

export function startPulling(parts: PullParts): { close(): Promise<unknown>[] } {
  const { db, intake, config, versions, log } = parts;
  const { own } = versions;
  const stop = new AbortController();
  const running = new Set<Promise<void>>();
  let takesNew = true;
  let subscriptions: TurnSubscription[] = [];
  const consumer = createPullConsumer({
    db,
    intake,
    pollMs: config.reconcileMs,
    prefetch: getPrefetch(config.concurrency),
    takesNew: () => takesNew,
    log,
  });

  function open(): void {
    if (subscriptions.length > 0 || stop.signal.aborted) return;
    subscriptions = pullWakeups(db, config.pubsub, config.concurrency, consumer, log);
  }

  async function follow(version: string): Promise<void> {
    while (!stop.signal.aborted) {
      let mayHaveMore = false;
      try {
        await adapt(version);
        mayHaveMore = await takeTurns();
      } catch (error) {
        log[isPassing(error) ? 'debug' : 'warn'](
          { version, error: errorMessage(error) },
          'looking for turns of this version failed',
        );
        if (takesNew) open();
      }
      // Jitter keeps the workers from polling in step.
      const waitMs = mayHaveMore ? 0 : config.reconcileMs * (0.75 + 0.5 * Math.random());
      await delay(waitMs, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  /** Pulls wake-ups as long as no newer version runs. */
  async function adapt(version: string): Promise<void> {
    const { isNewest } = await showVersion(db, version);
    if (isNewest !== takesNew) {
      log.info(
        { version },
        isNewest
          ? 'this version of the agent takes new turns'
          : 'a newer version of the agent takes new turns',
      );
    }
    takesNew = isNewest;
    if (isNewest) {
      open();
    } else {
      const closing = subscriptions.map((subscription) => subscription.close());
      subscriptions = [];
      await Promise.allSettled(closing);
    }
  }

  async function takeTurns(): Promise<boolean> {
    const count = Math.min(intake.slots.free, maxTaken);
    if (count <= 0 || stop.signal.aborted) return false;
    const turns = await takeVersionedTurns(db, versions.runs, count);
    for (const turn of turns) {
      const run = consumer.runVersioned(turn).finally(() => running.delete(run));
      running.add(run);
    }
    return turns.length === count;
  }

  /** Turns that arrive while the worker stops are put back before its connections close. */
  async function stopFollowing(): Promise<void> {
    await following;
    await Promise.all(running);
  }

  if (own === undefined) open();
  const following = own === undefined ? Promise.resolve() : follow(own);
  return {
    close: () => {
      stop.abort();
      return [
        stopFollowing(),
        consumer.close(),
        ...subscriptions.map((subscription) => subscription.close()),
      ];
    },
  };
}
