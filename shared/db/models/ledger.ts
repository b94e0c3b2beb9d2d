/**
 * The ledger: what calls of models took, by owner, day (UTC's) and model. A step is entered in the statement that records
 * it, where it is recorded for the first time: neither a crash nor a repeat counts it twice or not at all.
 */
import { sql, type RawBuilder } from 'kysely';
import type { ModelUsage } from '../../domain/usage.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import type { Caller } from '../tasks/read.ts';

interface UsedStep {
  taskId: string;
  name: string;
  occurrence: number;
  usage?: ModelUsage;
}

/**
 * The entries of steps that called a model; nothing where none did. Stands after a CTE `step (task_id, name, occurrence)`
 * of those that were recorded. Rows are locked in order, so that two sets never wait for each other.
 */
export function ledgerEntries(steps: readonly UsedStep[]): RawBuilder<unknown> {
  const used = steps.flatMap(({ usage, ...step }) => (usage === undefined ? [] : [{ ...step, ...usage }]));
  if (used.length === 0) return sql``;
  const column = <T>(of: (step: (typeof used)[number]) => T) => used.map(of);
  return sql`
    entry as (
      insert into ledger as l (
        tenant, owner, day, model, calls, prompt_tokens, cached_tokens, tool_tokens, thought_tokens, output_tokens,
        cost, unpriced
      )
      select t.tenant, t.owner, ${today}, used.model, count(*), sum(used.prompt), sum(used.cached), sum(used.tool),
        sum(used.thoughts), sum(used.output), coalesce(sum(used.cost), 0), count(*) filter (where used.cost is null)
      from unnest(
        ${column((step) => step.taskId)}::uuid[], ${column((step) => step.name)}::text[],
        ${column((step) => step.occurrence)}::int[], ${column((step) => step.model)}::text[],
        ${column(({ tokens }) => tokens.prompt)}::bigint[], ${column(({ tokens }) => tokens.cached)}::bigint[],
        ${column(({ tokens }) => tokens.tool)}::bigint[], ${column(({ tokens }) => tokens.thoughts)}::bigint[],
        ${column(({ tokens }) => tokens.output)}::bigint[], ${column((step) => step.cost ?? null)}::float8[]
      ) as used (task_id, name, occurrence, model, prompt, cached, tool, thoughts, output, cost)
      join step on step.task_id = used.task_id and step.name = used.name and step.occurrence = used.occurrence
      join tasks t on t.id = used.task_id
      group by t.tenant, t.owner, used.model
      order by t.tenant, t.owner, used.model
      on conflict (tenant, owner, day, model) do update set
        calls = l.calls + excluded.calls,
        prompt_tokens = l.prompt_tokens + excluded.prompt_tokens,
        cached_tokens = l.cached_tokens + excluded.cached_tokens,
        tool_tokens = l.tool_tokens + excluded.tool_tokens,
        thought_tokens = l.thought_tokens + excluded.thought_tokens,
        output_tokens = l.output_tokens + excluded.output_tokens,
        cost = l.cost + excluded.cost,
        unpriced = l.unpriced + excluded.unpriced
    ),`;
}

const today = sql`(now() at time zone 'utc')::date`;
const allTokens = sql`sum(prompt_tokens + tool_tokens + thought_tokens + output_tokens)::float8`;

export interface SpentToday {
  tokens: number;
  cost: number;
}

/** What an owner's tasks have spent since midnight UTC. */
export type ReadSpentToday = (caller: Caller) => Promise<SpentToday>;

/** Reads that wait for one another go as one. */
export function createSpendReader(db: Db): ReadSpentToday {
  return createBatcher((callers: readonly Caller[]) => readSpentToday(db, callers), { max: 256 });
}

async function readSpentToday(db: Db, callers: readonly Caller[]): Promise<SpentToday[]> {
  const { rows } = await sql<SpentToday & { tenant: string; owner: string }>`
    select l.tenant, l.owner, ${allTokens} as tokens, sum(l.cost) as cost
    from (
      select distinct * from unnest(
        ${callers.map(({ tenant }) => tenant)}::text[], ${callers.map(({ owner }) => owner)}::text[]
      ) as asked (tenant, owner)
    ) asked
    join ledger l on l.tenant = asked.tenant and l.owner = asked.owner and l.day = ${today}
    group by l.tenant, l.owner`.execute(db);
  const found = new Map(rows.map(({ tokens, cost, ...caller }) => [keyOf(caller), { tokens, cost }]));
  return callers.map((caller) => found.get(keyOf(caller)) ?? { tokens: 0, cost: 0 });
}

function keyOf({ tenant, owner }: Caller): string {
  return JSON.stringify([tenant, owner]);
}

export const ledgerColumns = ['owner', 'day', 'model'] as const;
export type LedgerColumn = (typeof ledgerColumns)[number];

export interface LedgerLine {
  /** The names of those that the lines are grouped by; the tenant stands with the owner. */
  tenant?: string;
  owner?: string;
  day?: string;
  model?: string;
  calls: number;
  promptTokens: number;
  cachedTokens: number;
  toolTokens: number;
  thoughtTokens: number;
  outputTokens: number;
  cost: number;
  /** Calls of a model that had no price. */
  unpriced: number;
}

export interface LedgerFilter {
  /** Days, both included: YYYY-MM-DD. */
  since: string;
  until: string;
  owner?: string | undefined;
  tenant?: string | undefined;
}

/** Sums of the ledger, one line for each owner, day and model, as far as they are asked for. */
export async function readLedger(
  db: Db,
  by: readonly LedgerColumn[],
  { since, until, owner, tenant }: LedgerFilter,
): Promise<LedgerLine[]> {
  const names = by.flatMap((column) => (column === 'owner' ? ['tenant', 'owner'] : [column]));
  const shown = names.map((name) =>
    name === 'day' ? sql`to_char(day, 'YYYY-MM-DD') as day` : sql.ref(name),
  );
  const groups = sql.join(names.map((name) => sql.ref(name)));
  const { rows } = await sql<LedgerLine>`
    select ${sql.join([...shown, sql`sum(calls)::float8 as calls`])},
      sum(prompt_tokens)::float8 as "promptTokens", sum(cached_tokens)::float8 as "cachedTokens",
      sum(tool_tokens)::float8 as "toolTokens", sum(thought_tokens)::float8 as "thoughtTokens",
      sum(output_tokens)::float8 as "outputTokens", sum(cost) as cost, sum(unpriced)::float8 as unpriced
    from ledger
    where day between ${since}::date and ${until}::date
      and (${owner ?? null}::text is null or owner = ${owner ?? null})
      and (${tenant ?? null}::text is null or tenant = ${tenant ?? null})
    group by ${groups} order by ${groups}`.execute(db);
  return rows;
}

/** Forgets what an owner has used, as data protection asks for. */
export async function deleteLedgerOfOwner(db: Db, caller: Caller): Promise<void> {
  await db
    .deleteFrom('ledger')
    .where('tenant', '=', caller.tenant)
    .where('owner', '=', caller.owner)
    .execute();
}
