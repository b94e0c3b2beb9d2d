/** Connects the children of a turn with the database, under the lease of the turn and the limits of its owner. */
import { hopsExtension } from '#shared/agent/hops.ts';
import { awaitChildren, readChildren, readChildUsage } from '#shared/db/children/join.ts';
import { readDepth, spawnChildren } from '#shared/db/children/spawn.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { GetOwnerLimits } from '#shared/db/owners/limits.ts';
import { createUsageReader } from '#shared/db/owners/usage.ts';
import type { UsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import type { ClaimedTask } from '#shared/db/turns/claim.ts';
import type { TurnInput } from '#shared/db/turns/input/input.ts';
import { maxListedChildren } from '#shared/domain/children.ts';
import { FatalError, OwnerLimitError } from '#shared/domain/errors.ts';
import type { Message } from '#shared/domain/message.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { HeldLease } from '../lease-heartbeat.ts';
import { retryWhileLeased } from '../retry-while-leased.ts';
import { Children, type ChildParts } from './children.ts';

/** A parent that waits for room among the open tasks of its owner asks again after about this time. */
const roomMs = 15_000;

export interface TurnFamily extends Pick<ChildParts, 'waits' | 'reach' | 'usage' | 'record' | 'postpone'> {
  held: HeldLease;
  /** `isParent` is set before children are stored. */
  task: ClaimedTask;
  input: TurnInput;
  createMessage: (text: string) => Message;
  showProgress: (message: Message) => Promise<void>;
}

export type OpenTurnChildren = (family: TurnFamily) => Children;

export function createTurnChildren(parts: {
  db: Db;
  wakeupGraceSeconds: number;
  agentVersion: string | undefined;
  getOwnerLimits: GetOwnerLimits;
  recorder: Pick<UsageRecorder, 'add'>;
  outbox: OutboxPublisher;
  log: Logger;
}): OpenTurnChildren {
  const { db, recorder, outbox, log } = parts;
  const checkRoom = createRoomCheck(db, parts.getOwnerLimits);
  return ({ held, task, input, createMessage, showProgress, ...family }) => {
    const { lease } = held;
    const { limits = {} } = input.definition as { limits?: ChildParts['limits'] & { taskSeconds?: number } };
    const retry = <T>(operation: () => Promise<T>): Promise<T> => retryWhileLeased(held, log, operation);
    return new Children({
      ...family,
      parent: {
        ...lease,
        contextId: input.contextId,
        task,
        taskSeconds: limits.taskSeconds,
        hops: input.metadata[hopsExtension],
      },
      limits,
      readDepth: () => retry(() => readDepth(db, lease.taskId)),
      checkRoom: (...wanted) => retry(() => checkRoom(task.owner, ...wanted)),
      store: async (spawn) => {
        task.isParent = true;
        await held.assertHeld();
        outbox.publish(await retry(() => spawnChildren(db, parts, { lease, ...spawn })));
        const { tasks, step } = spawn;
        const bytes = tasks.reduce((sum, child) => sum + child.bytes, Buffer.byteLength(step.output));
        recorder.add(task.owner, { bytes });
        await held.assertHeld();
        await showProgress({
          ...createMessage(`Started ${tasks.length} child ${tasks.length === 1 ? 'task' : 'tasks'}.`),
          referenceTaskIds: tasks.slice(0, maxListedChildren).map(({ taskId }) => taskId),
        });
      },
      awaitChildren: (group, needed) => retry(() => awaitChildren(db, lease, group, needed)),
      readChildren: (...children) => retry(() => readChildren(db, ...children)),
      readUsage: (...children) => retry(() => readChildUsage(db, ...children)),
    });
  };
}

/** Children count to the limits of their owner like its other tasks. */
function createRoomCheck(db: Db, getOwnerLimits: GetOwnerLimits) {
  const readUsage = createUsageReader(db);
  return async (owner: string, call: string, tasks: number, bytes: number): Promise<void> => {
    const { openTasks, storedBytes } = await getOwnerLimits(owner);
    if (openTasks === 0 && storedBytes === 0) return;
    const { usage: used } = await readUsage({ owner, maxOpenTasks: openTasks === 0 ? 0 : openTasks + 1 });
    if (storedBytes > 0 && used.storedBytes + bytes > storedBytes) {
      throw new FatalError(
        `${call}: your limit of ${storedBytes} stored bytes has no room for ${bytes} more: ${used.storedBytes} are used.`,
      );
    }
    if (openTasks === 0) return;
    // The parent is one of them.
    if (tasks + 1 > openTasks) {
      throw new FatalError(
        `${call}: your limit of ${openTasks} open tasks has no room for ${tasks} children.`,
      );
    }
    if (used.openTasks + tasks <= openTasks) return;
    throw new OwnerLimitError(
      `Waiting for room for ${tasks} child tasks: your limit is ${openTasks} open tasks`,
      new Date(databaseNow() + roomMs * (0.75 + Math.random() / 2)),
    );
  };
}
