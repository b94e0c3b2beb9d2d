/**
 * Publishes the wake-ups of deliveries. Dispatchers that have room take wake-ups from the outbox
 * (db/webhooks/attempts/take.ts), so those that are due now get a head start before Cloud Tasks are created for the ones
 * that are left:
 *
 *   committed ──taken by a dispatcher within a second──▶ nothing to publish
 *        └──left──▶ a Cloud Task for up to a hundred of them
 *
 * Wake-ups for a later time share Cloud Tasks too, if they are due at about the same time: a receiver that hangs, or that is
 * down, causes many of them.
 *
 * There is no head start unless dispatchers have taken wake-ups of this process lately: none may run, or none may be able
 * to listen, as with a pooler in transaction mode.
 */
import { createBatcher } from '../db/client/batcher.ts';
import type { Db } from '../db/client/pool.ts';
import { deleteWakeups, findWakeups } from '../db/outbox/outbox.ts';
import { maxLateness, type DeliveryWakeup } from '../domain/wakeup.ts';
import { maxWoken, type ScheduleDeliveries } from '../gcp/cloud-tasks.ts';
import { databaseNow } from '../runtime/clock.ts';

/** The relay publishes what its writer has not published within two seconds. */
const headStartMs = 1_000;
const checkMs = 100;
/** Those with a shorter delay than this have a Cloud Task each. */
const minSharedDelayMs = 4_000;
/** How long this process gathers those of about the same time. The relay publishes them after two seconds. */
const gatherMs = 500;

/** How long this process relies on dispatchers after one of them has taken a wake-up. */
const reliedMs = 10_000;
/** Deletions are gathered, because each costs a commit. */
const deleteAfterMs = 100;

export interface DeliveryWakeups {
  /** Publishes and deletes those that no dispatcher takes. Never rejects. */
  publish(wakeups: readonly DeliveryWakeup[], options: { headStart: boolean }): Promise<void>;
  /** Ends all head starts, and publishes what is gathered. */
  hurry(): void;
}

/** Wake-ups that share a Cloud Task. */
interface Group {
  wakeups: DeliveryWakeup[];
  timer: NodeJS.Timeout;
  published: PromiseWithResolvers<void>;
}

interface Held {
  wakeups: readonly DeliveryWakeup[];
  /** By `performance.now()`. */
  until: number;
  done: () => void;
}

export function createDeliveryWakeups(parts: {
  db: Db;
  scheduleDeliveries: ScheduleDeliveries;
  onFailure: (wakeups: readonly DeliveryWakeup[], error: unknown) => void;
}): DeliveryWakeups {
  const { db, scheduleDeliveries, onFailure } = parts;
  let takenAt = -Infinity;
  let held: Held[] = [];
  /** By the time at which they are due. */
  const groups = new Map<number, Group>();
  let timer: NodeJS.Timeout | undefined;

  const deletePublished = createBatcher(
    async (sets: readonly (readonly string[])[]) => {
      const ids = sets.flat();
      if ((await deleteWakeups(db, ids)) < ids.length) takenAt = performance.now();
      return sets;
    },
    { max: 500, gatherMs: deleteAfterMs },
  );

  async function create(wakeups: readonly DeliveryWakeup[]): Promise<void> {
    try {
      await scheduleDeliveries(wakeups);
      await deletePublished(wakeups.map(({ id }) => id));
    } catch (error) {
      onFailure(wakeups, error);
    }
  }

  /** Gathers wake-ups that are due now while earlier calls to Cloud Tasks run. */
  const createTogether = createBatcher(
    async (wakeups: readonly DeliveryWakeup[]) => {
      await create(wakeups);
      return wakeups;
    },
    { max: maxWoken, lanes: 4 },
  );

  async function createAll(wakeups: readonly DeliveryWakeup[]): Promise<void> {
    await Promise.all(wakeups.map(createTogether));
  }

  /** Resolves when the wake-up is published, alone or with others of about the same time. */
  function gather(wakeup: DeliveryWakeup, delayMs: number): Promise<void> {
    if (delayMs < minSharedDelayMs) return create([wakeup]);
    // Powers of two, so that wake-ups whose delays differ meet.
    const stepMs = 2 ** Math.floor(Math.log2(delayMs * maxLateness));
    const dueMs = Math.ceil(wakeup.dueAt.getTime() / stepMs) * stepMs;
    const group = groups.get(dueMs) ?? {
      wakeups: [],
      timer: setTimeout(() => publishGroup(dueMs), gatherMs),
      published: Promise.withResolvers(),
    };
    groups.set(dueMs, group);
    group.wakeups.push({ ...wakeup, dueAt: new Date(dueMs) });
    if (group.wakeups.length === maxWoken) publishGroup(dueMs);
    return group.published.promise;
  }

  function publishGroup(dueMs: number): void {
    const group = groups.get(dueMs);
    if (group === undefined) return;
    groups.delete(dueMs);
    clearTimeout(group.timer);
    group.published.resolve(create(group.wakeups));
  }

  function publishGroups(): void {
    for (const dueMs of groups.keys()) publishGroup(dueMs);
  }

  function hold(wakeups: readonly DeliveryWakeup[]): Promise<void> {
    return new Promise((done) => {
      held.push({ wakeups, until: performance.now() + headStartMs, done });
      timer ??= setTimeout(check, checkMs);
    });
  }

  function check(): void {
    const now = performance.now();
    const ended = held.filter(({ until }) => until <= now);
    held = held.filter(({ until }) => until > now);
    timer = held.length > 0 ? setTimeout(check, checkMs) : undefined;
    if (ended.length > 0) void publishLeft(ended);
  }

  async function publishLeft(ended: readonly Held[]): Promise<void> {
    const wakeups = ended.flatMap((item) => item.wakeups);
    const ids = wakeups.map(({ id }) => id);
    // If the database cannot answer, all are published.
    const left = await findWakeups(db, ids).catch(() => new Set(ids));
    if (left.size < ids.length) takenAt = performance.now();
    await createAll(wakeups.filter(({ id }) => left.has(id)));
    for (const { done } of ended) done();
  }

  return {
    publish: async (wakeups, { headStart }) => {
      const now = databaseNow();
      const due = wakeups.filter(({ dueAt }) => dueAt.getTime() <= now);
      const later = wakeups.filter(({ dueAt }) => dueAt.getTime() > now);
      const holds = headStart && performance.now() - takenAt < reliedMs;
      const publishing = later.map((wakeup) => gather(wakeup, wakeup.dueAt.getTime() - now));
      if (!headStart) publishGroups();
      if (holds && due.length > 0) publishing.push(hold(due));
      else publishing.push(createAll(due));
      await Promise.all(publishing);
    },
    hurry: () => {
      publishGroups();
      takenAt = -Infinity;
      for (const item of held) item.until = -Infinity;
      clearTimeout(timer);
      timer = undefined;
      check();
    },
  };
}
