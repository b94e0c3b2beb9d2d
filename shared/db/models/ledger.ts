/**
 * The ledger of model usage by owner, day (UTC) and model. The statement that records a step for the first
 * time also adds its usage to the ledger. A crash or a repeat therefore never loses usage or counts it twice.
 */
import { sql, type RawBuilder } from 'kysely';
import type { ModelUsage, Usage } from '../../domain/usage.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { float, int, rows, text, uuid } from '../client/rows.ts';
import type { Caller } from '../tasks/visibility.ts';

interface UsedStep {
  taskId: string;
  name: string;
  occurrence: number;
  usage?: ModelUsage;
}

/**
 * The CTE `entry`, which adds the usage of the recorded steps, with a trailing comma; empty if no step called
 * a model. It must follow a CTE `step (task_id, name, occurrence)` of the recorded steps. Rows are locked in
 * order, so that two sets never wait for each other.
 */
export function insertLedgerEntries(steps: readonly UsedStep[]): RawBuilder<unknown> {
  const used = steps.flatMap(({ usage, ...step }) => (usage === undefined ? [] : [{ ...step, ...usage }]));
  if (used.length === 0) return sql``;
  const input = rows('used', used, {
    task_id: uuid((step) => step.taskId),
    name: text((step) => step.name),
    occurrence: int((step) => step.occurrence),
    model: text((step) => step.model),
    prompt: int(({ tokens }) => tokens.prompt),
    cached: int(({ tokens }) => tokens.cached),
    tool: int(({ tokens }) => tokens.tool),
    thoughts: int(({ tokens }) => tokens.thoughts),
    output: int(({ tokens }) => tokens.output),
    cost: float((step) => step.cost),
  });
  return sql`
    entry as (
      insert into ledger as l (
        tenant, owner, day, model, calls, prompt_tokens, cached_tokens, tool_tokens, thought_tokens, output_tokens,
        cost, unpriced
      )
      select t.tenant, t.owner, ${today}, used.model, count(*), sum(used.prompt), sum(used.cached), sum(used.tool),
        sum(used.thoughts), sum(used.output), coalesce(sum(used.cost), 0), count(*) filter (where used.cost is null)
      from (${input}) used
      join step on step.task_id = used.task_id and step.name = used.name and step.occurrence = used.occurrence
      join tasks t on t.id = used.task_id
      group by t.owner, t.tenant, used.model
      order by t.owner, t.tenant, used.model
      on conflict (owner, day, tenant, model) do update set
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

export const today = sql`(now() at time zone 'utc')::date`;
const allTokens = sql`sum(prompt_tokens + tool_tokens + thought_tokens + output_tokens)::float8`;

export interface SpentToday {
  tokens: number;
  cost: number;
}

/** Returns what the tasks of an owner have spent since midnight UTC, in all its tenants. */
export type ReadSpentToday = (owner: string) => Promise<SpentToday>;

/** Batches concurrent reads. */
export function createSpendReader(db: Db): ReadSpentToday {
  return createBatcher((owners: readonly string[]) => readSpentToday(db, owners), { max: 256 });
}

async function readSpentToday(db: Db, owners: readonly string[]): Promise<SpentToday[]> {
  const result = await sql<SpentToday & { owner: string }>`
    select l.owner, ${allTokens} as tokens, sum(l.cost) as cost from ledger l
    where l.owner = any(${[...new Set(owners)]}::text[]) and l.day = ${today}
    group by l.owner`.execute(db);
  const spent = new Map(result.rows.map(({ owner, tokens, cost }) => [owner, { tokens, cost }]));
  return owners.map((owner) => spent.get(owner) ?? { tokens: 0, cost: 0 });
}

export const ledgerColumns = ['owner', 'day', 'model'] as const;
export type LedgerColumn = (typeof ledgerColumns)[number];

export interface LedgerLine {
  /** Only the columns that the lines are grouped by are set; `tenant` is set together with `owner`. */
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
  /** Calls of models without a price. */
  unpriced: number;
}

export interface LedgerFilter {
  /** First and last day, both included: YYYY-MM-DD. */
  since: string;
  until: string;
  owner?: string | undefined;
  tenant?: string | undefined;
}

/** The columns of a line that are not grouped by. */
export const ledgerSums = sql`sum(calls)::float8 as calls, sum(prompt_tokens)::float8 as "promptTokens",
  sum(cached_tokens)::float8 as "cachedTokens", sum(tool_tokens)::float8 as "toolTokens",
  sum(thought_tokens)::float8 as "thoughtTokens", sum(output_tokens)::float8 as "outputTokens", sum(cost) as cost,
  sum(unpriced)::float8 as unpriced`;

/** Returns the sums of a line as clients see them. */
export function toUsage({ calls, cost, unpriced, ...line }: LedgerLine): Usage {
  return {
    calls,
    tokens: {
      prompt: line.promptTokens,
      cached: line.cachedTokens,
      tool: line.toolTokens,
      thoughts: line.thoughtTokens,
      output: line.outputTokens,
    },
    cost,
    unpriced,
  };
}

/** Sums the ledger, with one line for each combination of the columns `by`. */
export async function readLedger(
  db: Db,
  by: readonly LedgerColumn[],
  { since, until, owner, tenant }: LedgerFilter,
): Promise<LedgerLine[]> {
  const names = by.flatMap((column) => (column === 'owner' ? ['tenant', 'owner'] : [column]));
  const columns = names.map((name) =>
    name === 'day' ? sql`to_char(day, 'YYYY-MM-DD') as day` : sql.ref(name),
  );
  const groups = sql.join(names.map((name) => sql.ref(name)));
  const result = await sql<LedgerLine>`
    select ${sql.join([...columns, ledgerSums])}
    from ledger
    where day between ${since}::date and ${until}::date
      and (${owner ?? null}::text is null or owner = ${owner ?? null})
      and (${tenant ?? null}::text is null or tenant = ${tenant ?? null})
    group by ${groups} order by ${groups}`.execute(db);
  return result.rows;
}

/** Removes an owner's usage, for data protection. */
export async function deleteLedgerOfOwner(db: Db, caller: Caller): Promise<void> {
  await db
    .deleteFrom('ledger')
    .where('tenant', '=', caller.tenant)
    .where('owner', '=', caller.owner)
    .execute();
}
