/**
 * The usage of owners, over all their tenants. Open tasks and cost are read from the tasks and the ledger.
 * Bytes and webhook configs would need a scan of all tasks of the owner, so their sums are kept in owner_usage.
 */
import { sql, type RawBuilder } from 'kysely';
import { isTerminal, taskStates } from '../../domain/task.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { isFree } from '../turns/leases.ts';
import { bigint, int, rows, text } from '../client/rows.ts';
import { today } from '../models/ledger.ts';

export interface OwnerUsage {
  openTasks: number;
  storedBytes: number;
  webhookConfigs: number;
  modelCostPerDay: number;
}

/** The usage of an owner, and how long the database took to read it, in milliseconds. */
export interface OwnerUsageRead {
  usage: OwnerUsage;
  ms: number;
}

/** Stored for an owner by one process, and not yet added to `owner_usage`. Negative: removed. */
export interface StoredAmounts {
  bytes: number;
  webhookConfigs: number;
}

interface UsageQuery {
  owner: string;
  /** Open tasks are counted up to this number. */
  maxOpenTasks: number;
}

export type ReadOwnerUsage = (query: UsageQuery) => Promise<OwnerUsageRead>;

const openStates = taskStates.filter((state) => !isTerminal(state));

/** Batches concurrent reads. */
export function createUsageReader(db: Db): ReadOwnerUsage {
  return createBatcher((queries: readonly UsageQuery[]) => readUsage(db, queries), { max: 256 });
}

async function readUsage(db: Db, queries: readonly UsageQuery[]): Promise<OwnerUsageRead[]> {
  const numbered = queries.map((query, number) => ({ ...query, number }));
  const input = rows('input', numbered, {
    number: int((query) => query.number),
    owner: text((query) => query.owner),
    max_open: int((query) => query.maxOpenTasks),
  });
  const result = await sql<OwnerUsage & { ms: number }>`
    select open.count::int as "openTasks", greatest(coalesce(usage.bytes, 0), 0)::float8 as "storedBytes",
      greatest(coalesce(usage.webhook_configs, 0), 0)::float8 as "webhookConfigs",
      spent.cost as "modelCostPerDay",
      extract(epoch from clock_timestamp() - statement_timestamp())::float8 * 1000 as ms
    from (${input}) input
    left join owner_usage usage on usage.owner = input.owner
    cross join lateral (
      select count(*) from (
        select from tasks t where t.owner = input.owner and t.state = any(${openStates}::text[])
        limit input.max_open
      ) counted
    ) open
    cross join lateral (
      select coalesce(sum(l.cost), 0) as cost from ledger l where l.owner = input.owner and l.day = ${today}
    ) spent
    order by input.number`.execute(db);
  return result.rows.map(({ ms, ...usage }) => ({ usage, ms }));
}

/** Adds what a process has stored. Rows are locked in order, so that two sets never wait for each other. */
export async function addOwnerUsage(db: Db, amounts: ReadonlyMap<string, StoredAmounts>): Promise<void> {
  const input = rows('input', [...amounts], {
    owner: text(([owner]) => owner),
    bytes: bigint(([, { bytes }]) => bytes),
    webhook_configs: bigint(([, { webhookConfigs }]) => webhookConfigs),
  });
  await addUsageRows(sql`(${input}) input`).execute(db);
}

/** Adds rows of a relation `(owner, bytes, webhook_configs)` with one row for each owner. */
export function addUsageRows(source: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    insert into owner_usage as u (owner, bytes, webhook_configs)
    select owner, bytes, webhook_configs from ${source} order by owner
    on conflict (owner) do update
      set bytes = u.bytes + excluded.bytes, webhook_configs = u.webhook_configs + excluded.webhook_configs`;
}

/**
 * Replaces the sums of an owner, or of all owners, by those of their stored tasks. They differ if a process was
 * killed before it had added what it stored in its last second. Reads all tasks.
 *
 * @returns how many owners have tasks
 */
export async function recountOwnerUsage(db: Db, owner?: string): Promise<number> {
  const tasks = owner === undefined ? sql`tasks t` : sql`(select * from tasks where owner = ${owner}) t`;
  const result = await sql`
    with counted as (
      select t.owner, sum(g.bytes) as bytes, coalesce(sum(c.configs), 0) as webhook_configs
      from ${tasks} join gates g on g.task_id = t.id
      left join (select task_id, count(*) as configs from webhook_configs group by task_id) c on c.task_id = t.id
      group by t.owner
    ),
    unused as (
      delete from owner_usage where (${owner ?? null}::text is null or owner = ${owner ?? null})
        and owner not in (select owner from counted)
    )
    insert into owner_usage (owner, bytes, webhook_configs)
    select owner, bytes, webhook_configs from counted order by owner
    on conflict (owner) do update set bytes = excluded.bytes, webhook_configs = excluded.webhook_configs
    returning 1`.execute(db);
  return result.rows.length;
}

/** Returns the owners that have stored tasks, or limits of their own, or spent something today. */
export async function listOwners(db: Db): Promise<string[]> {
  const { rows: found } = await sql<{ owner: string }>`
    select owner from owner_usage where bytes > 0 or webhook_configs > 0
    union select owner from owner_limits
    union select owner from ledger where day = ${today}
    order by owner`.execute(db);
  return found.map(({ owner }) => owner);
}

/** Returns those of the owners that have no tasks, in their order. */
export async function findWithoutTasks(db: Db, owners: readonly string[]): Promise<string[]> {
  const { rows: found } = await sql<{ owner: string }>`
    select owner from unnest(${owners}::text[]) with ordinality as input (owner, number)
    where not exists (select from tasks t where t.owner = input.owner)
    order by number`.execute(db);
  return found.map(({ owner }) => owner);
}

export async function hasTasks(db: Db, owner: string): Promise<boolean> {
  return (await findWithoutTasks(db, [owner])).length === 0;
}

/** Returns how many turns of each owner are running. */
export async function countRunningTurns(db: Db): Promise<Map<string, number>> {
  const { rows: found } = await sql<{ owner: string; turns: number }>`
    select t.owner, count(*)::int as turns from gates g join tasks t on t.id = g.task_id
    where g.state_class = 0 and not ${isFree} group by t.owner`.execute(db);
  return new Map(found.map(({ owner, turns }) => [owner, turns]));
}
