/** Tasks whose input harms what reads it: they end, and take no other task with them. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { createAccept, type NewTask } from '#shared/db/tasks/accept.ts';
import { acceptFollowUp } from '#shared/db/tasks/follow-up.ts';
import { newFollowUp, newMessage, newTask } from '../../support/database/new-task.ts';
import { openTestPool } from '../../support/database/postgres.ts';
import { startScriptedStack } from '../../support/services/scripted-stack.ts';
import type { Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const options = { idempotencyWindowSeconds: 0, wakeupGraceSeconds: 1 };

async function startStack(t: TestContext, env: Record<string, string> = {}) {
  const { stack } = await startScriptedStack(t, env);
  const { db } = openTestPool(stack.databaseUrl);
  t.after(() => db.destroy());
  const accept = createAccept(db, options);
  const submit = async (task: Partial<NewTask>) => {
    const accepted = newTask(task);
    await accept(accepted);
    return accepted.taskId;
  };
  return { stack, db, submit, say: (script: string) => submit({ message: newMessage(script) }) };
}

/** Waits until tasks have ended, and returns the state and the status text of each. */
async function readEnds(
  stack: Stack,
  taskIds: readonly string[],
): Promise<{ state: string; text: string }[]> {
  return waitFor(
    'the end of all tasks',
    async () => {
      const { rows } = await stack.pool.query(
        `select state, coalesce(status_message #>> '{parts,0,text}', '') as text
         from tasks join gates on task_id = id where id = any($1) and state_class = 2
         order by array_position($1, id)`,
        [taskIds],
      );
      return rows.length === taskIds.length && rows;
    },
    { boundMs: 120_000 },
  );
}

const completed = { state: 'TASK_STATE_COMPLETED', text: '' };

describe('a task', () => {
  test('with messages that exceed the memory of its worker runs and kills no worker', async (t) => {
    const { stack, db, submit, say } = await startStack(t);
    // A character of this JSON takes about 25 bytes of memory: eight messages would take 1.3 GB.
    const message = `{"messageId":"m","role":"ROLE_USER","parts":[{"data":[${'{},'.repeat(2_600_000)}{}]}]}`;
    const poison = await submit({});
    for (let index = 0; index < 8; index += 1) {
      await acceptFollowUp(db, options, newFollowUp(poison, { message }));
    }
    const bystander = await say('step one\nsay done');
    const worker = await stack.start('worker', { NODE_OPTIONS: '--max-old-space-size=400' });
    const exit = worker.running.exited.then(({ code, signal }) =>
      assert.fail(`worker ended: ${code} ${signal}`),
    );
    const ends = await Promise.race([readEnds(stack, [poison, bystander]), exit]);
    assert.deepEqual(ends, [completed, completed]);
  });

  test('whose input the database cannot read fails with the cause, alone', async (t) => {
    const { stack, say } = await startStack(t, { MAX_ATTEMPTS: '2' });
    const poison = await say('say never');
    const bystanders = await Promise.all(Array.from({ length: 5 }, () => say('say done')));
    await breakMessage(stack, poison);
    await stack.start('worker');
    const [failed, ...others] = await readEnds(stack, [poison, ...bystanders]);
    assert.equal(failed?.state, 'TASK_STATE_FAILED');
    assert.match(failed.text, /Failed after 2 attempts\. Last error: out of memory/);
    assert.deepEqual(
      others,
      bystanders.map(() => completed),
    );
    const { rows } = await stack.pool.query('select last_error from tasks where last_error is not null');
    assert.deepEqual(rows, [{ last_error: 'out of memory' }]);
  });

  test('that kills its worker each time fails, and the turns next to it complete', async (t) => {
    const { stack, say } = await startStack(t, { MAX_ATTEMPTS: '3', LEASE_SECONDS: '60' });
    const bystanders = await Promise.all(Array.from({ length: 5 }, () => say('wait 700')));
    const poison = await say('wait 300\ndie');
    for (let death = 0; death < 3; death += 1) {
      const worker = await stack.start('worker');
      await worker.running.exited;
      await stack.endLeases('worker');
    }
    await stack.start('worker');
    const [failed, ...others] = await readEnds(stack, [poison, ...bystanders]);
    assert.match(failed?.text ?? '', /Failed after 3 attempts/);
    assert.deepEqual(
      others,
      bystanders.map(() => completed),
    );
  });
});

/** Lets the database fail whenever it measures the message of one task. */
async function breakMessage({ pool }: Stack, taskId: string): Promise<void> {
  await pool.query(`
    alter table messages rename to stored_messages;
    create function measure(id uuid, bytes integer) returns integer language plpgsql as $$
      begin
        if id = '${taskId}' then raise 'out of memory' using errcode = '53200'; end if;
        return bytes;
      end $$;
    create view messages as
      select task_id, turn, role, message, accepted_output_modes, created_at, context_key,
        measure(task_id, bytes) as bytes
      from stored_messages;
    grant select, insert, update, delete on messages to public`);
}
