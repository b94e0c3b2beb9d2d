/**
 * What a worker writes about the turn that it runs: events, artifacts, steps, and how the turn ends or is handed back.
 * Every write is fenced by the gate (invariant 3), numbers its events by it (invariant 5) and makes their deliveries
 * (invariant 6), in one statement for a whole set of tasks.
 *
 * How a turn ends when a message waits is decided by the gate in that statement: see `yieldsToNextTurn`.
 */
import { sql } from 'kysely';
import { LeaseLostError } from '../../domain/errors.ts';
import type { EventKind } from '../../domain/events.ts';
import { getStateClass, yieldsToNextTurn, type TurnEndState } from '../../domain/task.ts';
import type { ModelUsage, Usage } from '../../domain/usage.ts';
import { toWakeups, freshClaim, type WakeupColumns } from '../outbox/outbox.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { createBatcher } from '../client/batcher.ts';
import type { Db } from '../client/pool.ts';
import { deliveriesOf, fewRows, isRunnable, notifyFollowers } from '../events/fan-out.ts';
import { lockHeldLeases, type Lease } from './leases.ts';
import { ledgerEntries } from '../models/ledger.ts';
import { activeTraceparent } from '../../runtime/spans.ts';

export interface NewEvent {
  kind: Exclude<EventKind, 'state'>;
  /** JSON of the payload. */
  payload: string;
  /** A progress message, JSON: it becomes the message of the task's status. */
  statusMessage?: string;
  /** Which artifact the event belongs to; `whole` is its JSON as it is after this event, where the event completes it. */
  artifact?: { artifactId: string; whole?: string };
}

export interface NewStep {
  name: string;
  occurrence: number;
  /** The place of the step among all of its turn, from 0. */
  position: number;
  inputHash: string | null;
  /** JSON; null: the step has begun and not ended. */
  output: string | null;
  /** Of a call of a model: counted in the ledger when the step is recorded. */
  usage?: ModelUsage;
}

/** The end of a turn. */
export interface TurnEnd {
  kind: 'end';
  state: TurnEndState;
  /** Payload of the event where the turn ends so, and where a waiting message goes on; JSON. */
  payload: string;
  payloadIfContinued: string;
  statusAt: string;
  /** JSON of the message of the status. */
  message: string | null;
  /** The message is the whole answer: the task is hidden unless a caller has seen it. */
  direct: boolean;
  error: string | null;
}

/** The turn is given back, to be run again from `delaySeconds` on. */
export interface TurnRelease {
  kind: 'release';
  delaySeconds: number;
  /** False: nothing failed (hand-back, parking); the attempt does not count. */
  countAttempt: boolean;
  error: string | null;
}

export interface TurnWrite {
  lease: Lease;
  events?: readonly NewEvent[];
  steps?: readonly NewStep[];
  /** Of the whole task, the steps of this write included. */
  taskUsage?: Usage | undefined;
  finish?: TurnEnd | TurnRelease;
}

/** `traceparent`: of the span in which it is written, for the webhooks of its events. */
type TracedWrite = TurnWrite & { traceparent: string | null };

export interface TurnWritten {
  wakeups: Wakeup[];
}

/** @throws {LeaseLostError} when the turn is no longer this worker's; nothing was written */
export type WriteTurn = (write: TurnWrite) => Promise<TurnWritten>;

export function createTurnWriter(db: Db, options: { wakeupGraceSeconds: number }): WriteTurn {
  const write = createBatcher(
    (writes: readonly TracedWrite[]) => writeSet(db, options.wakeupGraceSeconds, writes),
    {
      max: 128,
      lanes: 2,
      key: (one) => one.lease.taskId,
    },
  );
  return async (one) => {
    const written = await write({ ...one, traceparent: activeTraceparent() });
    if (written === undefined)
      throw new LeaseLostError(`task ${one.lease.taskId} is no longer this worker's`);
    return written;
  };
}

type Row = { task_id: string; turn: number; traceparent: string | null } & WakeupColumns;

async function writeSet(
  db: Db,
  wakeupGraceSeconds: number,
  writes: readonly TracedWrite[],
): Promise<(TurnWritten | undefined)[]> {
  const rows = await runSet(db, wakeupGraceSeconds, writes);
  const missed = writes.filter((write) => !rows.has(write.lease.taskId));
  if (missed.length > 0) {
    for (const [taskId, row] of await runLocked(db, wakeupGraceSeconds, missed)) rows.set(taskId, row);
  }
  return writes.map((write) => {
    const row = rows.get(write.lease.taskId);
    return row && { wakeups: toWakeups(row, row.task_id, row.turn, row.traceparent) };
  });
}

/**
 * A write that changed no row has lost its lease, or a webhook config was made at the same moment (see the join on
 * `seen`). With the gates locked first, nothing but a lost lease is left to keep it from being written.
 */
async function runLocked(
  db: Db,
  wakeupGraceSeconds: number,
  writes: readonly TracedWrite[],
): Promise<Map<string, Row>> {
  return db.transaction().execute(async (trx) => {
    const held = await lockHeldLeases(
      trx,
      writes.map((write) => write.lease),
    );
    const own = writes.filter((write) => held.has(write.lease.taskId));
    return own.length === 0 ? new Map<string, Row>() : runSet(trx, wakeupGraceSeconds, own);
  });
}

async function runSet(
  db: Db,
  wakeupGraceSeconds: number,
  writes: readonly TracedWrite[],
): Promise<Map<string, Row>> {
  const sorted = writes.toSorted((a, b) => (a.lease.taskId < b.lease.taskId ? -1 : 1));
  const column = <T>(of: (write: TracedWrite) => T) => sorted.map(of);
  const ends = column((write) => (write.finish?.kind === 'end' ? write.finish : undefined));
  const releases = column((write) => (write.finish?.kind === 'release' ? write.finish : undefined));
  const end = <K extends keyof TurnEnd>(name: K) => ends.map((one) => one?.[name] ?? null);
  const events = sorted.flatMap((write) =>
    (write.events ?? []).map((event, index) => ({
      taskId: write.lease.taskId,
      ordinal: index + 1,
      ...event,
    })),
  );
  const steps = sorted.flatMap((write) =>
    (write.steps ?? []).map((step) => ({ taskId: write.lease.taskId, ...step })),
  );
  const grace = sql`${wakeupGraceSeconds} * interval '1 second'`;
  const { rows } = await sql<Row>`-- prepared
    with input as (
      select * from unnest(
        ${column((write) => write.lease.taskId)}::uuid[], ${column((write) => write.lease.turn)}::int[],
        ${column((write) => write.lease.fence)}::int[],
        ${column((write) => (write.events?.length ?? 0) + (write.finish?.kind === 'end' ? 1 : 0))}::int[],
        ${column((write) => write.steps?.some((step) => step.output !== null) ?? false)}::boolean[],
        ${ends.map((one) => (one === undefined ? null : getStateClass(one.state)))}::int[],
        ${ends.map((one) => one !== undefined && yieldsToNextTurn(one.state))}::boolean[],
        ${end('state')}::text[], ${end('payload')}::json[], ${end('payloadIfContinued')}::json[],
        ${end('statusAt')}::timestamptz[], ${column(statusMessageOf)}::json[], ${end('direct')}::boolean[],
        ${column((write) => write.finish?.error ?? null)}::text[],
        ${column((write) => (write.taskUsage === undefined ? null : JSON.stringify(write.taskUsage)))}::json[],
        ${releases.map((one) => one?.delaySeconds ?? null)}::float8[],
        ${releases.map((one) => one?.countAttempt ?? null)}::boolean[],
        ${column((write) => write.traceparent)}::text[]
      ) as input (
        task_id, own_turn, fence, events, stepped, end_class, yields, state, payload, payload_if_continued, status_at, message,
        direct, error, usage, delay, count_attempt, traceparent
      ) ${fewRows(sorted.length)}
    ),
    gate as (
      update gates g set
        last_event = g.last_event + input.events,
        fence = g.fence + (input.end_class is not null or input.delay is not null)::int,
        turn = case when input.yields and g.last_turn > g.turn then g.turn + 1 else g.turn end,
        state_class = case
          when input.end_class is null or (input.yields and g.last_turn > g.turn) then 0 else input.end_class end,
        attempts = case
          when input.end_class is not null then 0
          when input.count_attempt is false then greatest(g.attempts - 1, 0)
          when input.stepped then 1
          else g.attempts end,
        lease_until = case when input.end_class is null and input.delay is null then g.lease_until end,
        worker = case when input.end_class is null and input.delay is null then g.worker end,
        run_at = case
          when input.delay is not null then now() + input.delay * interval '1 second' else g.run_at end,
        wakeup_at = case
          when input.delay > 0 then now() + input.delay * interval '1 second'
          when input.delay = 0 then now() + ${grace}
          when input.yields and g.last_turn > g.turn then now() + ${grace}
          when input.end_class is not null then now()
          else g.wakeup_at end
      from input join gates seen on seen.task_id = input.task_id
      where g.task_id = input.task_id and g.fence = input.fence and ${isRunnable}
        and g.config_rev = seen.config_rev
      returning g.task_id, g.turn, g.last_event, g.config_rev, g.state_class, input.fence, input.events, input.end_class,
        input.state, input.payload, input.payload_if_continued, input.status_at, input.message, input.direct,
        input.error, input.usage, input.delay, input.own_turn, input.traceparent,
        input.end_class is not null and g.state_class = 0 as continued
    ),
    answer as (
      insert into messages (task_id, turn, role, message)
      select task_id, own_turn, 'agent', message from gate where end_class is not null and message is not null
      on conflict (task_id, turn, role) do update set message = excluded.message
    ),
    given_event as (
      select given.*, gate.own_turn, gate.last_event - gate.events + given.ordinal as seq, gate.config_rev, gate.traceparent
      from unnest(
        ${events.map((event) => event.taskId)}::uuid[], ${events.map((event) => event.ordinal)}::int[],
        ${events.map((event) => event.kind)}::text[], ${events.map((event) => event.payload)}::json[],
        ${events.map((event) => event.artifact?.artifactId ?? null)}::text[],
        ${events.map((event) => event.artifact?.whole ?? null)}::json[]
      ) as given (task_id, ordinal, kind, payload, artifact_id, artifact)
      join gate on gate.task_id = given.task_id
    ),
    task as (
      update tasks t set
        state = case when gate.continued or gate.end_class is null then t.state else gate.state end,
        status_at = coalesce(gate.status_at, t.status_at),
        status_message = case
          when gate.end_class is null then coalesce(gate.message, t.status_message) else gate.message end,
        direct = coalesce(gate.direct, t.direct),
        last_error = coalesce(gate.error, t.last_error),
        usage = coalesce(gate.usage, t.usage)
      from gate
      where t.id = gate.task_id and (
        gate.end_class is not null or gate.error is not null or gate.usage is not null or gate.message is not null
      )
    ),
    artifact as (
      insert into artifacts (task_id, artifact_id, turn, seq, artifact)
      select distinct on (task_id, artifact_id) task_id, artifact_id, own_turn, seq, artifact from given_event
      where artifact is not null order by task_id, artifact_id, seq desc
      on conflict (task_id, artifact_id) do update
        set turn = excluded.turn, seq = excluded.seq, artifact = excluded.artifact
    ),
    new_event as (
      select task_id, seq, kind, artifact_id, payload, false as settles, config_rev, traceparent
      from given_event
      union all
      select task_id, last_event, case when continued then 'progress' else 'state' end, null,
        case when continued then payload_if_continued else payload end, not continued, config_rev, traceparent
      from gate where end_class is not null
    ),
    event as (
      insert into events (task_id, seq, kind, artifact_id, payload, traceparent)
      select task_id, seq, kind, artifact_id, payload, traceparent from new_event
    ),
    step as (
      insert into steps (task_id, turn, name, occurrence, position, input_hash, output, usage, fence, finished_at)
      select given.task_id, gate.own_turn, given.name, given.occurrence, given.position, given.input_hash, given.output,
        given.usage, gate.fence, case when given.output is not null then now() end
      from unnest(
        ${steps.map((step) => step.taskId)}::uuid[], ${steps.map((step) => step.name)}::text[],
        ${steps.map((step) => step.occurrence)}::int[], ${steps.map((step) => step.position)}::int[],
        ${steps.map((step) => step.inputHash)}::text[], ${steps.map((step) => step.output)}::json[],
        ${steps.map((step) => (step.usage === undefined ? null : JSON.stringify(step.usage)))}::json[]
      ) as given (task_id, name, occurrence, position, input_hash, output, usage)
      join gate on gate.task_id = given.task_id
      on conflict (task_id, turn, name, occurrence) do update
        set output = excluded.output, usage = excluded.usage, fence = excluded.fence,
          finished_at = excluded.finished_at
        where steps.output is null
      returning task_id, name, occurrence
    ),
    ${ledgerEntries(steps)}
    ${deliveriesOf(wakeupGraceSeconds)},
    wakeup as (
      insert into outbox (kind, task_id, turn, config_id, due_at, claimed_until, traceparent)
      select 'turn', gate.task_id, gate.turn, null, now() + coalesce(gate.delay, 0) * interval '1 second',
        now() + ${freshClaim}, t.traceparent
      from gate join tasks t on t.id = gate.task_id
      where gate.continued or gate.delay = 0
      union all
      select distinct 'delivery', task_id, null::int, config_id, now(), now() + ${freshClaim}, null from delivery
      returning id, kind, task_id, config_id, traceparent
    )
    select gate.task_id, gate.turn, rung.wakeup_id, rung.traceparent, rung.delivery_wakeups, ${notifyFollowers}
    from gate left join (
      select task_id, max(id) filter (where kind = 'turn') as wakeup_id, max(traceparent) as traceparent,
        json_agg(json_build_object('id', id::text, 'config_id', config_id)) filter (where kind = 'delivery')
          as delivery_wakeups
      from wakeup group by task_id
    ) rung on rung.task_id = gate.task_id`.execute(db);
  return new Map(rows.map((row) => [row.task_id, row]));
}

/** JSON of the message of the task's status after the write: that of the end, else the last progress; null: none came. */
function statusMessageOf({ events, finish }: TurnWrite): string | null {
  if (finish?.kind === 'end') return finish.message;
  return events?.findLast((event) => event.statusMessage !== undefined)?.statusMessage ?? null;
}
