/**
 * A restore drill: the database is lost, and restored from a base backup and its WAL to a point in time (docs/operate/disasters.md).
 * Tasks in flight at that point continue; later webhooks are sent again, with the same ids.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withServiceRole, localUsers } from '#services/local/postgres/users.ts';
import { migrateToLatest } from '#shared/db/schema/migrate.ts';
import { grantTables } from '#shared/db/schema/provision.ts';
import { storeOwnAgent } from '#shared/db/tasks/agents.ts';
import { startArchivedServer } from '../../support/database/archived-server.ts';
import { openTestPool } from '../../support/database/postgres.ts';
import { getStepRuns, scriptedAgent, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { isCompleted, type RunningService, type ServiceKind } from '../../support/stack.ts';
import { startReceiver, type Receiver } from '../../support/webhooks/receiver.ts';
import { waitFor } from '../../support/wait-for.ts';

const kinds: ServiceKind[] = ['api', 'worker', 'dispatcher'];

/** The ids of the webhooks with the result of a task, one for each time that it arrived. */
function getResultIds(receiver: Receiver, taskId: string): unknown[] {
  return receiver.received
    .filter(
      ({ body, headers }) => headers['longhaul-task-id'] === taskId && body.includes('TASK_STATE_COMPLETED'),
    )
    .map(({ headers }) => headers['webhook-id']);
}

describe('a restore to a point in time', () => {
  test(
    'continues tasks in flight, and repeats later webhooks under the same ids',
    { timeout: 170_000 },
    async (t) => {
      const database = await startArchivedServer(t);
      await migrateToLatest({ url: database.url });
      await grantTables({ url: database.url }, localUsers);
      const { db, pool } = openTestPool(database.url);
      await storeOwnAgent(db, { agentFile: undefined, agentModule: scriptedAgent });
      await pool.end();
      const { stack, tool } = await startScriptedStack(t);
      const receiver = await startReceiver(t);
      const configuration = { taskPushNotificationConfig: { url: receiver.url } };
      const submit = async (script: string) => (await stack.submit(script, { configuration })).id;
      const startAll = async (url: string): Promise<RunningService[]> =>
        Promise.all(kinds.map((kind) => stack.start(kind, { DATABASE_URL: withServiceRole(url, kind) })));
      const completeWithWebhook = async (id: string): Promise<void> => {
        await stack.until(id, isCompleted);
        await waitFor('the webhook', () => getResultIds(receiver, id).length > 0);
      };

      const services = await startAll(database.url);
      await stack.ready();
      const before = await submit('say done');
      await completeWithWebhook(before);
      // The second step of the other task is in flight until the tool answers.
      const held = Promise.withResolvers<number>();
      tool.answerBy(({ body }) => (body.includes('/next/') ? held.promise : 200));
      const waiting = await submit('step paid\nstep next\nsay done');
      await tool.match(new RegExp(`${waiting}/1/next`));
      await database.backUp();
      const between = await submit('say done');
      await completeWithWebhook(between);
      await database.settleWebhooks();
      await database.markPoint('drill');

      // All of this is lost.
      held.resolve(200);
      await completeWithWebhook(waiting);
      const lost = await submit('say done');
      await completeWithWebhook(lost);
      const sentBefore = new Map([before, between, waiting].map((id) => [id, getResultIds(receiver, id)]));
      await Promise.all(services.map((service) => service.kill()));
      await database.kill();

      const startedAt = performance.now();
      const restored = await database.restore('drill');
      const restoredAt = performance.now();
      await startAll(restored.url);
      await stack.ready();
      await stack.until(waiting, isCompleted);
      const continuedAt = performance.now();
      await waitFor('the repeated webhook', () => getResultIds(receiver, waiting).length > 1);

      assert.deepEqual(
        getStepRuns(tool, waiting),
        ['1/paid/0', '1/next/0', '1/next/0'],
        'the step that was recorded before the point did not run again; the other did, under the same key',
      );
      const ids = getResultIds(receiver, waiting);
      assert.equal(new Set(ids).size, 1, 'the receiver recognizes the repeat by its id');
      for (const id of [before, between]) {
        await stack.until(id, isCompleted);
        assert.deepEqual(
          getResultIds(receiver, id),
          sentBefore.get(id),
          'delivered before the point: not repeated',
        );
      }
      const { error } = await stack.rpc('GetTask', { id: lost });
      assert.equal(error?.code, -32_001, 'accepted after the point: gone');
      const seconds = (from: number, to: number): string => ((to - from) / 1000).toFixed(1);
      t.diagnostic(
        `restored in ${seconds(startedAt, restoredAt)} s; the task in flight was done ${seconds(restoredAt, continuedAt)} s later`,
      );
    },
  );
});
