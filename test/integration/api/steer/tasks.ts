/** Tasks that are canceled and rerun in one request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NewStep } from '#shared/db/turns/write.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { createSigningSecret, decryptSecrets, encryptSecrets } from '#shared/webhooks/secrets.ts';
import { skipIfEncrypted } from '../../../support/database/contents.ts';
import { claimTask, createClaimedTask, newTask, newTurnEnd } from '../../../support/database/new-task.ts';
import { encryptor, webhookTo } from '../../../support/webhooks/webhooks.ts';
import { alice, type Json, type Routes } from './routes.ts';

export function testTasks({ db, write, accept, published, call, createFailedTask, readTask }: Routes): void {
  test('cancels tasks one by one, and nothing in a dry run', async () => {
    const open = newTask(alice);
    await accept(open);
    const ended = await createFailedTask();
    const taskIds = [open.taskId, ended, uuidv7(), 'nonsense', ended];
    const outcomes = async (dryRun: boolean) => {
      const { status, body } = await call('/tasks:cancel', { taskIds, dryRun });
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.dryRun, dryRun);
      return body.results.map(({ outcome, state }: Json) => [outcome, state]);
    };
    const others = [
      ['ended', 'TASK_STATE_FAILED'],
      ['not_found', undefined],
      ['not_found', undefined],
    ];
    assert.deepEqual(await outcomes(true), [['canceled', 'TASK_STATE_SUBMITTED'], ...others]);
    assert.equal((await readTask(open.taskId)).state, 'TASK_STATE_SUBMITTED');
    assert.deepEqual(await outcomes(false), [['canceled', 'TASK_STATE_CANCELED'], ...others]);
    assert.deepEqual((await outcomes(false))[0], ['ended', 'TASK_STATE_CANCELED']);
  });

  test('reruns an ended task as a new one, once for each request id', { skip: skipIfEncrypted }, async () => {
    const secret = createSigningSecret();
    const webhook = webhookTo('http://localhost:9/hook', {
      token: 't',
      signingSecret: secret,
      events: 'end',
    });
    const taskId = uuidv7();
    await createFailedTask({
      taskId,
      contextId: 'conversation',
      metadata: JSON.stringify({
        own: 1,
        'https://longhaul.dev/ext/schedule/v1': { deadline: '2026-01-01T00:00:00Z' },
        'https://longhaul.dev/ext/priority/v1': 3,
      }),
      webhook: encryptSecrets(encryptor, taskId, webhook),
    });
    const body = { taskIds: [taskId], requestId: 'again' };
    const dry = await call('/tasks:rerun', { ...body, dryRun: true });
    assert.deepEqual(dry.body, { dryRun: true, results: [{ taskId, outcome: 'started' }] });
    const first = await call('/tasks:rerun', body);
    const { newTaskId } = first.body.results[0];
    assert.notEqual(newTaskId, undefined, JSON.stringify(first.body));
    assert.deepEqual((await call('/tasks:rerun', body)).body, first.body);

    const task = await readTask(newTaskId);
    assert.deepEqual(
      [task.state, task.context_id, task.owner],
      ['TASK_STATE_SUBMITTED', 'conversation', 'key:alice'],
    );
    const { [webhooksExtensionUri]: kept, ...metadata } = task.metadata as Json;
    assert.deepEqual(metadata, { own: 1, 'https://longhaul.dev/ext/priority/v1': 3 });
    assert.deepEqual(kept, { events: 'end', order: 'strict' });
    const messages = await db
      .selectFrom('messages')
      .select('message')
      .where('task_id', '=', newTaskId)
      .execute();
    assert.deepEqual(
      messages.map(({ message }) => message.parts),
      [[{ text: 'hello' }]],
    );
    const config = await db
      .selectFrom('webhook_configs')
      .select(['id', 'token', 'auth_credentials as authCredentials', 'signing_secret as signingSecret'])
      .where('task_id', '=', newTaskId)
      .executeTakeFirstOrThrow();
    const decrypted = decryptSecrets(encryptor, newTaskId, config);
    assert.deepEqual([decrypted.token, decrypted.signingSecret], ['t', secret]);
    assert.ok(published.some((wakeup) => wakeup.kind === 'turn' && wakeup.taskId === newTaskId));

    const elsewhere = await call('/tasks:rerun', { taskIds: [taskId, newTaskId], newContext: true });
    const [moved, open] = elsewhere.body.results;
    assert.notEqual((await readTask(moved.newTaskId)).context_id, 'conversation');
    assert.deepEqual(open, { taskId: newTaskId, outcome: 'not_ended' });
  });

  test(
    'runs a turn again from a step, and stops the attempt that runs',
    { skip: skipIfEncrypted },
    async () => {
      const { lease } = await createClaimedTask(db, alice);
      const { taskId } = lease;
      const step = (name: string, position: number, output: string | null = '1'): NewStep => ({
        name,
        occurrence: 0,
        position,
        inputHash: null,
        output,
      });
      const post = step('post', 2, null);
      const created = step('interaction', 3, `{"id":"v1_${taskId}"}`);
      await write({ lease, steps: [step('plan', 0), step('fetch', 1), post, created] });
      const body = { taskIds: [taskId], fromStep: { name: 'fetch' } };
      const expected = {
        taskId,
        outcome: 'restarted',
        turn: 1,
        steps: [
          { name: 'fetch', occurrence: 0 },
          { name: 'post', occurrence: 0 },
          { name: 'interaction', occurrence: 0 },
        ],
      };
      const restart = async (more: object = {}) =>
        (await call('/tasks:rerun', { ...body, ...more })).body.results[0];
      assert.deepEqual(await restart({ dryRun: true }), expected);
      await write({ lease, steps: [] });
      assert.deepEqual(await restart(), expected);
      await assert.rejects(write({ lease, steps: [] }), { name: 'LeaseLostError' });
      const undeleted = db.selectFrom('stored_calls').select('interaction');
      assert.equal((await undeleted.where('interaction', '=', `v1_${taskId}`).execute()).length, 1);
      const { body: timeline } = await call(`/tasks/${taskId}/timeline`);
      assert.deepEqual(
        timeline.turns[0].attempts.map(({ outcome }: Json) => outcome),
        ['restarted'],
      );
      assert.deepEqual(
        timeline.turns[0].steps.map(({ name }: Json) => name),
        ['plan'],
      );
      const next = await claimTask(db, taskId);
      assert.deepEqual([next.attempts, next.crashed], [1, false]);
      assert.match((await restart()).message, /turn 1 has not recorded fetch \(occurrence 0\): it has plan/);

      const spawned = { ...step('fan out', 1), output: JSON.stringify({ group: uuidv7(), taskIds: [] }) };
      await write({ lease: next.lease, steps: [spawned] });
      const { group } = JSON.parse(spawned.output);
      await db
        .insertInto('child_groups')
        .values({ id: group, parent_id: taskId, size: 0, depth: 1 })
        .execute();
      const refused = await restart({ fromStep: { name: 'plan' } });
      assert.equal(refused.outcome, 'refused');
      assert.match(refused.message, /fan out \(occurrence 0\) has started child tasks/);

      await write({ lease: next.lease, finish: newTurnEnd(taskId, 'TASK_STATE_FAILED') });
      assert.match((await restart()).message, /has ended, which is final/);
    },
  );

  for (const [kind, names] of [
    ['at Google', ['interaction-wait', 'interaction', 'model']],
    ['in a batch', ['batch-wait', 'batch', 'model']],
  ] as const) {
    test(`runs a call of the model ${kind} again as a whole`, async () => {
      const { lease } = await createClaimedTask(db, alice);
      const wait = { wait: { kind: 'model' as const }, dueInSeconds: 60, token: uuidv7() };
      const [waited, made, replied] = names;
      const steps = [
        { name: 'plan', output: '1' },
        { name: waited, output: '{"status":"ended"}', wait },
        { name: made, output: '{"id":"v1_again"}' },
        { name: replied, output: '{"interaction":"v1_again"}' },
      ].map((step, position) => ({ ...step, position, occurrence: 0, inputHash: null }));
      await write({ lease, steps });
      for (const name of names) {
        const body = { taskIds: [lease.taskId], fromStep: { name }, dryRun: true };
        const [{ steps: again }] = (await call('/tasks:rerun', body)).body.results;
        assert.deepEqual(
          again.map((step: Json) => step.name),
          names,
        );
      }
    });
  }

  test('refuses bodies that it cannot follow exactly', async () => {
    const taskIds = [uuidv7()];
    const cases: [string, object, RegExp][] = [
      ['/tasks:cancel', { taskIds, dry_run: true }, /"dry_run" is not a field/],
      ['/tasks:cancel', { taskIds: [] }, /taskIds must be a list of 1 to 100/],
      [
        '/tasks:cancel',
        { taskIds: Array.from({ length: 101 }, () => 'x') },
        /taskIds must be a list of 1 to 100/,
      ],
      ['/tasks:cancel', { taskIds, dryRun: 'yes' }, /dryRun must be true or false/],
      ['/tasks:cancel', { taskIds: [1] }, /as strings/],
      ['/tasks:rerun', { taskIds, fromStep: 'model' }, /fromStep must be an object/],
      ['/tasks:rerun', { taskIds: ['a', 'b'], fromStep: { name: 'x' } }, /one id/],
      ['/tasks:rerun', { taskIds, fromStep: { name: 'x' }, requestId: 'r' }, /starts no task/],
      ['/tasks:rerun', { taskIds, requestId: 'x'.repeat(129) }, /at most 128/],
      ['/webhooks:redeliver', {}, /since must be a time/],
      ['/webhooks:redeliver', { since: '2026-01-01', health: 'ok' }, /health must be/],
      ['/webhooks:redeliver', { since: '2026-01-01', webhooks: [{ taskId: 'x' }] }, /each of webhooks/],
      [
        '/webhooks:redeliver',
        { since: '2026-01-01', webhooks: [{ taskId: 'x', id: 'y' }], host: 'a' },
        /combined/,
      ],
    ];
    for (const [path, body, message] of cases) {
      const answer = await call(path, body);
      assert.equal(answer.status, 400, JSON.stringify(body));
      assert.match(answer.body.error.message, message);
    }
  });
}
