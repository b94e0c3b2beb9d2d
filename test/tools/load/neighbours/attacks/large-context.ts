import type { Pool } from 'pg';
import { attempt, createSend, pause, type Attack } from './attack.ts';

const tasks = 300_000;
const contextId = '00000000-0000-7000-8000-000000000009';

export const largeContext: Attack = {
  title: '10 tasks a second in a context of 300,000 tasks',
  seed: insertHistory,
  prepare: async (target) => async (signal) => {
    while (!signal.aborted) {
      const send = createSend('say hello', { message: { contextId } });
      void attempt(target, signal, () => target.client.call('SendMessage', send, signal));
      await pause(100, signal);
    }
  },
};

/** Completed tasks, as accept, claim and the end of a turn write them, from the last hours. */
async function insertHistory(pool: Pool, owner: string): Promise<void> {
  await pool.query(
    `with task as (
       insert into tasks (id, tenant, owner, context_id, agent_hash, state, status_at, created_at, shown)
       select (right('000000000000' || to_hex(millis), 12) || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
         '', $1, $2, (select hash from agents limit 1), 'TASK_STATE_COMPLETED', to_timestamp(millis / 1000.0),
         to_timestamp(millis / 1000.0), true
       from generate_series(1, $3::int) n,
         lateral (select (extract(epoch from now()) * 1000)::bigint - 60000 - 30 * n as millis) clock
       returning id, created_at
     ),
     gate as (
       insert into gates (task_id, fence, last_event, state_class, run_at, wakeup_at, settled_at)
       select id, 2, 3, 2, created_at, created_at, created_at from task
     ),
     message as (
       insert into messages (task_id, turn, role, message)
       select id, 1, 'user', json_build_object('messageId', id, 'role', 'ROLE_USER', 'taskId', id, 'contextId', $2::text,
         'parts', json_build_array(json_build_object('text', 'say hello'))) from task
     ),
     artifact as (
       insert into artifacts (task_id, artifact_id, turn, seq, artifact)
       select id, 'said', 1, 3, '{"artifactId":"said","parts":[{"text":"hello"}]}' from task
     )
     insert into events (task_id, seq, kind, payload)
     select id, seq, 'state', json_build_object('statusUpdate', json_build_object('taskId', id, 'contextId', $2::text,
       'status', json_build_object('state', 'TASK_STATE_WORKING', 'timestamp', now())))
     from task, generate_series(1, 3) seq`,
    [`key:${owner}`, contextId, tasks],
  );
  // Autovacuum would have done this while the tasks came in.
  await pool.query('vacuum analyze tasks, gates, messages, artifacts, events');
}
