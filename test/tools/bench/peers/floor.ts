/**
 * The floor: only the prepared statement that accepts tasks, always in full sets, on one connection per lane, without HTTP
 * and without responses. No server on the same database can accept faster with that statement.
 */
import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import { Client } from 'pg';
import { createAccept, type NewTask } from '#shared/db/tasks/accept.ts';
import type { Database } from '#shared/db/schema/schema.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { newTask } from '../../../support/database/new-task.ts';
import { serveParent } from '../serve-parent.ts';

const setSize = 64;

async function runLane(until: number): Promise<number> {
  const client = new Client({ connectionString: process.env['DATABASE_URL'] });
  await client.connect();
  const prepared = {
    query: (text: string, values: readonly unknown[]) =>
      client.query({ name: 'accept', text, values: [...values] }),
    release: () => undefined,
  };
  const pool = { connect: () => Promise.resolve(prepared), end: () => Promise.resolve() };
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: pool as never }) });
  const accept = createAccept(db, { idempotencyWindowSeconds: 86_400, wakeupGraceSeconds: 10 });
  let accepted = 0;
  while (performance.now() < until) {
    await Promise.all(Array.from({ length: setSize }, () => accept(createTask())));
    accepted += setSize;
  }
  await client.end();
  return accepted;
}

function createTask(): NewTask {
  const [taskId, contextId, messageId] = [uuidv7(), uuidv7(), randomUUID()];
  const message = { messageId, taskId, contextId, role: 'ROLE_USER', parts: [{ text: 'accept' }] };
  return newTask({ taskId, contextId, messageId, owner: 'floor', message: JSON.stringify(message) });
}

serveParent(async ({ seconds, lanes }: { seconds: number; lanes: number }) => {
  const from = performance.now();
  const counts = await Promise.all(Array.from({ length: lanes }, () => runLane(from + seconds * 1000)));
  const accepted = counts.reduce((sum, count) => sum + count, 0);
  return { perSecond: (accepted * 1000) / (performance.now() - from) };
});
