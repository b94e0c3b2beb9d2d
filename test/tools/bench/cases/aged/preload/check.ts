/** Reads copies as the api does, and compares them with their templates. */
import assert from 'node:assert/strict';
import type { Db } from '#shared/db/client/pool.ts';
import { readTaskSnapshot } from '#shared/db/tasks/read.ts';
import { identities, type Identities } from './clone.ts';

/**
 * Returns a task as its caller sees it, with names in place of what is its own and of times.
 *
 * @throws {Error} if the caller does not see it
 */
export async function describeTask(db: Db, own: Identities): Promise<string> {
  const snapshot = await readTaskSnapshot(db, { tenant: '', owner: own.owner }, own.task);
  assert.ok(snapshot, `${own.owner} does not see task ${own.task}`);
  const { task, lastEvent, turn, lastTurn, shown } = snapshot;
  const text = JSON.stringify({ task, lastEvent, turn, lastTurn, shown });
  return identities
    .reduce((named, identity) => named.replaceAll(own[identity], identity), text)
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'time');
}
