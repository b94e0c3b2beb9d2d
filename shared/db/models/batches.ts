/**
 * Collects calls of one definition into batches, and hands batches to workers, one worker at a time:
 *
 *   created ──▶ claimed ──▶ found or created at Google ──▶ its name is recorded ──polled──▶ ended ──▶ removed
 *
 * Google has no key that keeps a creation from being repeated ("Submit jobs once", docs/batch-api), but it lists batches with
 * their display names. So a worker looks for the batch before it repeats a creation.
 */
import { sql } from 'kysely';
import type { AgentDefinition } from '../../agent/definition.ts';
import { pollSeconds } from '../../domain/wait.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { isRunnable } from '../turns/leases.ts';

/** Google takes 20 MB of requests within a creation (docs/batch-api, "Inline requests"); the rest is for their envelopes. */
const maxBytes = 16_000_000;
/** Bounds what a worker holds of the replies. */
const maxCalls = 2_000;
/** How long a worker has for a batch that it has claimed; a creation takes less than two minutes. */
const claimSeconds = 120;

const newSecret = sql`replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')`;

/** Calls `c` that a turn waits for and that are in no batch. */
const waiting = sql`batch_calls c join gates g on g.task_id = c.task_id and g.turn = c.turn and ${isRunnable}`;

/** Creates a batch for each definition whose first call has waited long enough, or that has enough calls. */
export async function createBatches(db: Db): Promise<void> {
  await sql`
    with ready as (
      select c.agent_hash, min(c.model) as model from ${waiting} where c.batch_id is null
      group by c.agent_hash
      having min(c.due_at) <= now() or count(*) >= ${maxCalls} or sum(c.bytes) >= ${maxBytes}
    ),
    created as (
      insert into batches (id, agent_hash, model, token)
      select gen_random_uuid(), agent_hash, model, ${newSecret} from ready
      -- Another worker collects the calls of this definition.
      on conflict do nothing
      returning id, agent_hash
    ),
    picked as (
      select c.id, created.id as batch_id from created cross join lateral (
        select c.id, row_number() over by_age as place, sum(c.bytes) over by_age as total
        from ${waiting} where c.agent_hash = created.agent_hash and c.batch_id is null
        window by_age as (order by c.queued_at, c.id)
      ) c
      where c.place = 1 or (c.place <= ${maxCalls} and c.total <= ${maxBytes})
    )
    update batch_calls c set batch_id = picked.batch_id from picked where c.id = picked.id`.execute(db);
}

export interface DueBatch {
  id: string;
  model: string;
  /** The secret in the address of its webhook. */
  token: string;
  /** Google's name for it; null: none is recorded. */
  name: string | null;
  /** Without a name: an earlier try may have created it. */
  mayExist: boolean;
  /** A turn waits for one of its calls. */
  isAwaited: boolean;
  prices: AgentDefinition['prices'];
}

/** Returns batches to create or to poll now, which no other worker has meanwhile. They are due again later. */
export async function claimBatches(db: Db, limit: number): Promise<DueBatch[]> {
  const { rows } = await sql<DueBatch>`
    with due as (
      select id, tried_at from batches where due_at <= now() order by due_at limit ${limit} for update skip locked
    )
    update batches b set tried_at = coalesce(b.tried_at, now()), due_at = now() + ${seconds(claimSeconds)}
    from due where b.id = due.id
    returning b.id, b.model, b.token, b.name, due.tried_at is not null as "mayExist",
      exists (select from ${waiting} where c.batch_id = b.id and c.ended_at is null) as "isAwaited",
      coalesce((select a.definition -> 'prices' from agents a where a.hash = b.agent_hash), '{}') as prices`.execute(
    db,
  );
  return rows;
}

export async function recordBatchName(db: Db, id: string, name: string): Promise<void> {
  await sql`
    update batches set name = ${name}, due_at = now() + ${seconds(pollSeconds.shortest)}
    where id = ${id} and name is null`.execute(db);
}

/** Lets a batch be claimed again after half of its age, from 2 to 60 s. */
export async function postponeBatch(db: Db, id: string): Promise<void> {
  await sql`
    update batches set due_at = now() + least(
      ${seconds(pollSeconds.longest)}, greatest(${seconds(pollSeconds.shortest)}, (now() - created_at) / 2))
    where id = ${id}`.execute(db);
}

/** Moves the second half of the calls of a batch that Google has refused to a new one. */
export async function splitBatch(db: Db, id: string): Promise<void> {
  await sql`
    with half as (
      insert into batches (id, agent_hash, model, token, tried_at)
      select gen_random_uuid(), agent_hash, model, ${newSecret}, now() from batches where id = ${id}
      returning id
    ),
    ranked as (
      select id, row_number() over (order by queued_at, id) as place, count(*) over () as total from batch_calls
      where batch_id = ${id} and ended_at is null
    ),
    moved as (
      update batch_calls c set batch_id = half.id from ranked, half
      where c.id = ranked.id and ranked.place > ranked.total / 2
    )
    update batches set due_at = now() where id = ${id}`.execute(db);
}

/** Forgets a batch that Google does not have anymore. Its calls have ended, or no turn waits for them. */
export async function removeBatch(db: Db, id: string): Promise<void> {
  await sql`
    with ended as (
      update batch_calls set ended_at = now(), request = null where batch_id = ${id} and ended_at is null
    )
    delete from batches where id = ${id}`.execute(db);
}

/**
 * Makes a batch due that a webhook has reported. One whose name is not recorded is left to the worker that creates it.
 *
 * @returns false if no batch has this token
 */
export async function reportBatch(db: Db, token: string): Promise<boolean> {
  const { rows } = await sql`
    with reported as (
      update batches set due_at = now() where token = ${token} and name is not null
    )
    select id from batches where token = ${token}`.execute(db);
  return rows.length > 0;
}
