/**
 * The outbox (invariant 2): wake-ups, written in the transaction that leaves work behind and published after
 * its commit. `turn` wakes a worker through Pub/Sub, `delivery` wakes the dispatcher through Cloud Tasks.
 */
import { sql, type RawBuilder } from 'kysely';
import { stateClass } from '../../domain/task.ts';
import type { TurnWakeup, Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { databaseNow } from '../../runtime/clock.ts';

/** A start that is at most this far ahead is timed by the process that writes it; later ones by the reconciler. */
export const soonSeconds = 10;

/** Lets wake-ups of turns be published when their time has come. */
export function delayTurns(wakeups: readonly Wakeup[], notBefore: Date): Wakeup[] {
  return wakeups.map((wakeup) => (wakeup.kind === 'turn' ? { ...wakeup, notBefore } : wakeup));
}

/** How long a new row is claimed by the process that wrote it. After that, the relay may claim it. */
const freshClaim = sql`interval '2 seconds'`;

/**
 * Wake-ups to write, one for each row of `from`. Values default to the columns of the same name in `from`.
 */
interface NewWakeups {
  kind: Wakeup['kind'];
  /** A FROM clause; it may end with a WHERE. */
  from: RawBuilder<unknown>;
  taskId?: RawBuilder<unknown>;
  /** Only for `turn`. */
  turn?: RawBuilder<unknown>;
  /** Default for `delivery`: null. */
  owner?: RawBuilder<unknown>;
  /** Only for `turn`. Default: null. */
  traceparent?: RawBuilder<unknown>;
  /** Default: now. */
  dueAt?: RawBuilder<unknown>;
  /** When the writing process publishes the wake-up. Default: now. */
  publishAt?: RawBuilder<unknown>;
}

/**
 * The statement that writes wake-ups to the outbox, claimed for the writing process. The caller appends a
 * RETURNING clause.
 */
export function insertOutbox(...wakeups: readonly NewWakeups[]): RawBuilder<unknown> {
  const selects = wakeups.map(({ kind, from, ...columns }) => {
    const {
      taskId = sql`task_id`,
      turn = sql`turn`,
      owner = kind === 'turn' ? sql`owner` : sql`null::text`,
      traceparent = sql`null::text`,
      dueAt = sql`now()`,
      publishAt = sql`now()`,
    } = columns;
    const target = kind === 'turn' ? sql`${turn}, ${owner}, null` : sql`null::int, ${owner}, config_id`;
    return sql`select ${sql.lit(kind)}, ${taskId}, ${target}, ${dueAt}, ${publishAt} + ${freshClaim}, ${traceparent}
      from ${from}`;
  });
  return sql`insert into outbox (kind, task_id, turn, owner, config_id, due_at, claimed_until, traceparent)
      ${sql.join(selects, sql` union all `)}`;
}

/** The wake-ups in a row that a statement returns. */
export interface WakeupColumns {
  wakeup_id: string | null;
  wakeup_owner: string | null;
  delivery_wakeups: { id: string; config_id: string }[] | null;
}

const deliveryWakeups = sql`json_agg(json_build_object('id', wakeup.id::text, 'config_id', wakeup.config_id))`;

/** Selects WakeupColumns from a CTE `wakeup (id, kind, config_id, owner)`; for sets, the caller groups by task. */
export const wakeupColumns = sql`max(wakeup.id) filter (where wakeup.kind = 'turn') as wakeup_id,
        max(wakeup.owner) as wakeup_owner, ${deliveryWakeups} filter (where wakeup.kind = 'delivery') as delivery_wakeups`;

/**
 * Selects WakeupColumns of a row of `gate (task_id, config_rev)` from a CTE `wakeup (id, task_id, config_id)` of deliveries
 * only. A task that never had a webhook config has none.
 */
export const gateWakeupColumns = sql`null as wakeup_id, null as wakeup_owner,
      case when gate.config_rev > 0 then (
        select ${deliveryWakeups} from wakeup where wakeup.task_id = gate.task_id
      ) end as delivery_wakeups`;

/** Converts WakeupColumns to the wake-ups to publish. */
export function toWakeups(
  row: WakeupColumns,
  taskId: string,
  turn: number,
  traceparent: string | null,
): Wakeup[] {
  const wakeups: Wakeup[] = [];
  if (row.wakeup_id !== null) {
    wakeups.push({
      id: row.wakeup_id,
      kind: 'turn',
      taskId,
      turn,
      owner: row.wakeup_owner ?? '',
      traceparent,
    });
  }
  for (const { id, config_id } of row.delivery_wakeups ?? []) {
    wakeups.push({ id, kind: 'delivery', taskId, configId: config_id, dueAt: new Date(databaseNow()) });
  }
  return wakeups;
}

/** The columns of a wake-up of kind `turn` in the outbox. */
export interface TurnWakeupRow {
  id: string;
  task_id: string;
  turn: number | null;
  owner: string | null;
  traceparent: string | null;
}

const turnWakeupColumns = sql`id, task_id, turn, owner, traceparent`;

/**
 * Writes a wake-up for each turn of a CTE `gate (task_id, turn)`, and returns TurnWakeupRows.
 *
 * @param condition on `gate`; default: all
 * @param publishAt when this process publishes them; default: now
 */
export function insertTurnWakeups(
  condition: RawBuilder<unknown> = sql`true`,
  publishAt: RawBuilder<unknown> = sql`now()`,
): RawBuilder<unknown> {
  const from = sql`gate join tasks t on t.id = gate.task_id where ${condition}`;
  const columns = { taskId: sql`gate.task_id`, turn: sql`gate.turn`, owner: sql`t.owner` };
  const traceparent = sql`t.traceparent`;
  return sql`${insertOutbox({ kind: 'turn', from, ...columns, traceparent, dueAt: publishAt, publishAt })}
    returning ${turnWakeupColumns}`;
}

export function toTurnWakeup(row: TurnWakeupRow): TurnWakeup {
  return {
    id: row.id,
    kind: 'turn',
    taskId: row.task_id,
    turn: row.turn ?? 1,
    owner: row.owner ?? '',
    traceparent: row.traceparent,
  };
}

/**
 * Removes wake-ups that have been published.
 *
 * @returns how many of them a dispatcher had not taken (db/webhooks/attempts/take.ts)
 */
export async function deleteWakeups(db: Db, ids: readonly string[]): Promise<number> {
  const { numAffectedRows = 0n } = await sql`delete from outbox where id = any(${ids}::bigint[])`.execute(db);
  return Number(numAffectedRows);
}

/** Returns those of the wake-ups that no dispatcher has taken. */
export async function findWakeups(db: Db, ids: readonly string[]): Promise<Set<string>> {
  const { rows } = await sql<{ id: string }>`select id from outbox where id = any(${ids}::bigint[])`.execute(
    db,
  );
  return new Set(rows.map(({ id }) => id));
}

/**
 * Claims, for `claimSeconds`, wake-ups that their writer did not publish in time. Safe in many processes at
 * once: only one of them claims a row.
 */
export async function claimUnpublishedWakeups(
  db: Db,
  limit: number,
  claimSeconds: number,
): Promise<Wakeup[]> {
  const { rows } = await sql<
    TurnWakeupRow & { kind: 'turn' | 'delivery'; config_id: string | null; due_at: Date }
  >`
    update outbox set claimed_until = now() + ${seconds(claimSeconds)}
    where id in (
      select id from outbox where claimed_until < now() order by id limit ${limit} for update skip locked
    )
    returning ${turnWakeupColumns}, kind, config_id, due_at`.execute(db);
  return rows.map((row) =>
    row.kind === 'turn'
      ? toTurnWakeup(row)
      : {
          id: row.id,
          kind: 'delivery',
          taskId: row.task_id,
          configId: row.config_id ?? '',
          dueAt: row.due_at,
        },
  );
}

/**
 * Makes the reconciler wake a task on its next pass.
 *
 * @returns false if the task is not runnable
 */
export async function requestWakeup(db: Db, taskId: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('gates')
    .set({ wakeup_at: sql`now()` })
    .where('task_id', '=', taskId)
    .where('state_class', '=', stateClass.runnable)
    .executeTakeFirstOrThrow();
  return numUpdatedRows > 0n;
}
