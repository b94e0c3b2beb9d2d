/**
 * Writes the turns that workers run: events, artifacts, steps, and the end or the release of a turn. One
 * statement serves a whole set of tasks. Every write is fenced by the gate (invariant 3), takes its event
 * numbers from the gate (invariant 5) and creates the deliveries of its events (invariant 6).
 *
 * If a message waits when a turn ends, the gate decides how it ends: see `yieldsToNextTurn`.
 */
import { sql, type RawBuilder } from 'kysely';
import { LeaseLostError } from '../../domain/errors.ts';
import { getStateClass, yieldsToNextTurn } from '../../domain/task.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { databaseNow } from '../../runtime/clock.ts';
import { minLargeBytes } from '../../runtime/large-work.ts';
import { activeTraceparent } from '../../runtime/spans.ts';
import { signaledGroups, type SignaledColumn } from '../children/end.ts';
import { signalParents } from '../children/signal.ts';
import { createBatcher } from '../client/batcher.ts';
import { runLargeStatement } from '../client/large-statements.ts';
import { fewRows } from '../client/fragments.ts';
import { locked, retryWhileLocked } from '../client/locked.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import {
  bigint,
  boolean,
  float,
  int,
  json,
  rows,
  rowsOrLargeRow,
  text,
  timestamp,
  uuid,
} from '../client/rows.ts';
import { areContentsEncrypted } from '../contents/codec.ts';
import { sealWrite } from '../contents/writes.ts';
import { insertDeliveries, notifyListeners } from '../events/fan-out.ts';
import { insertLedgerEntries } from '../models/ledger.ts';
import { countWriteBytes } from '../owners/bytes.ts';
import { delayTurns, toWakeups, wakeupColumns, type WakeupColumns } from '../outbox/outbox.ts';
import { getAttemptOutcome, insertEndedAttempts } from './attempts.ts';
import { findHeldLeases } from './leases.ts';
import type { TurnWrite } from './turn-write.ts';
import {
  insertAnswers,
  insertEvents,
  insertWakeups,
  isProgress,
  updateGates,
  updateTasks,
  upsertArtifacts,
  upsertSteps,
  type StepOfTask,
} from './write-fragments.ts';
import { writesStepsOnly, writeSteps } from './write-steps.ts';

export type { NewEvent, NewStep, NewWait, TurnEnd, TurnRelease, TurnWrite } from './turn-write.ts';

/** `traceparent` is the span of the write, for the webhooks of its events; `bytes` what it stores, before encryption. */
type TracedWrite = TurnWrite & { traceparent: string | null; bytes: number };

export interface TurnWritten {
  wakeups: Wakeup[];
  /** The number of the last event of the task. */
  lastEvent: number;
}

/** @throws {LeaseLostError} if this worker no longer holds the turn; nothing was written */
export type WriteTurn = (write: TurnWrite) => Promise<TurnWritten>;

export interface WriterOptions {
  wakeupGraceSeconds: number;
  /** The version of the agent that records the steps. Default: it declares none. */
  agentVersion?: string | undefined;
}

export function createTurnWriter(db: Db, options: WriterOptions): WriteTurn {
  const run = (writes: readonly TracedWrite[]) => writeSet(db, options, writes);
  const writeSmall = createBatcher(run, { max: 128, lanes: 2, key: ({ lease }) => lease.taskId });
  // A large write is sent alone: what is not part of an array need not be escaped. It also waits until the event loop is free
  // for it; the end of another turn must not.
  const writeLarge = async (turnWrite: TracedWrite) => {
    const [written] = await runLargeStatement(turnWrite.lease.taskId, () => run([turnWrite]));
    return written;
  };
  return async (turnWrite) => {
    const isLarge = countBytes(turnWrite) >= minLargeBytes;
    const sealed = areContentsEncrypted() ? await sealWrite(turnWrite, isLarge) : turnWrite;
    const traced = { ...sealed, traceparent: activeTraceparent(), bytes: countWriteBytes(turnWrite) };
    const written = await retryWhileLocked(
      () => (isLarge ? writeLarge : writeSmall)(traced),
      () => writeLocked(db, options, traced),
    );
    if (written === undefined) throw new LeaseLostError(`lost the lease on task ${turnWrite.lease.taskId}`);
    return written;
  };
}

/** Waits for the lock of the gate, in line with others, and writes while it is held. */
async function writeLocked(
  db: Db,
  options: WriterOptions,
  write: TracedWrite,
): Promise<TurnWritten | typeof locked | undefined> {
  return runTransaction(db, async (trx) => {
    await sql`select from gates where task_id = ${write.lease.taskId} for no key update`.execute(trx);
    const [written] = await writeSet(trx, options, [write]);
    return written;
  });
}

/** About the size of the JSON in a write. */
function countBytes({ events = [], steps = [], finish }: TurnWrite): number {
  let bytes = finish?.kind === 'end' ? 3 * finish.payload.length : 0;
  for (const { payload, artifact } of events) bytes += payload.length + (artifact?.whole?.length ?? 0);
  for (const { output } of steps) bytes += output?.length ?? 0;
  return bytes;
}

type Row = {
  task_id: string;
  turn: number;
  delay: number | null;
  last_event: number;
  traceparent: string | null;
} & WakeupColumns &
  Partial<SignaledColumn>;

/**
 * A write that updates no gate has lost its lease, or another transaction has locked the gate, or a webhook config
 * changed at the same time (`seen` in updateGates). The fence decides: a lease that is held never looks lost.
 *
 * @returns undefined for each lost lease
 */
async function writeSet(
  db: Db,
  options: WriterOptions,
  writes: readonly TracedWrite[],
): Promise<(TurnWritten | typeof locked | undefined)[]> {
  const written = await runStatement(db, options, writes);
  const [anyRow] = written.values();
  const parents = await signalParents(db, options, anyRow?.signaled_groups ?? []);
  const missed = writes.flatMap(({ lease }) => (written.has(lease.taskId) ? [] : [lease]));
  const held = missed.length > 0 ? await findHeldLeases(db, missed) : new Set();
  return writes.map(({ lease }) => {
    const row = written.get(lease.taskId);
    if (row === undefined) return held.has(lease.taskId) ? locked : undefined;
    const wakeups = toWakeups(row, row.task_id, row.turn, row.traceparent);
    const woken = row === anyRow ? parents : [];
    const { delay, last_event: lastEvent } = row;
    if (delay === null || delay === 0) return { wakeups: [...wakeups, ...woken], lastEvent };
    const delayed = delayTurns(wakeups, new Date(databaseNow() + delay * 1000));
    return { wakeups: [...delayed, ...woken], lastEvent };
  });
}

async function runStatement(
  db: Db,
  options: WriterOptions,
  writes: readonly TracedWrite[],
): Promise<Map<string, Row>> {
  const sorted = writes.toSorted((a, b) => (a.lease.taskId < b.lease.taskId ? -1 : 1));
  const steps = sorted.flatMap(({ lease, steps = [] }) =>
    steps.map((step) => ({ taskId: lease.taskId, ...step })),
  );
  const statement = sorted.every(writesStepsOnly)
    ? writeSteps<Row>(sorted, steps, options.agentVersion)
    : writeAll(options, sorted, steps);
  const result = await statement.execute(db);
  return new Map(result.rows.map((row) => [row.task_id, row]));
}

function writeAll(
  { wakeupGraceSeconds, agentVersion }: WriterOptions,
  writes: readonly TracedWrite[],
  steps: readonly StepOfTask[],
): RawBuilder<Row> {
  const withFamily = writes.some(({ hasFamily }) => hasFamily === true);
  return sql`-- prepared
    with input as (${inputRows(writes)} ${fewRows(writes.length)}),
    ${updateGates(wakeupGraceSeconds, agentVersion)},
    ${insertAnswers},
    ${insertEndedAttempts},
    ${numberEvents(writes)},
    ${updateTasks(withFamily, writes.length)}
    ${upsertArtifacts},
    ${insertEvents},
    ${upsertSteps(steps)},
    ${insertLedgerEntries(steps)}
    ${insertDeliveries(wakeupGraceSeconds)},
    ${insertWakeups}
    select gate.task_id, gate.turn, gate.delay, gate.last_event, woken.wakeup_id, woken.wakeup_owner, woken.traceparent, woken.delivery_wakeups,
      ${withFamily ? sql`${signaledGroups},` : sql``} ${notifyListeners}
    from gate left join (
      select task_id, max(traceparent) as traceparent, ${wakeupColumns} from wakeup group by task_id
    ) woken on woken.task_id = gate.task_id`;
}

/**
 * `delay` is null unless the turn is released; `end_class` and the columns after it are null unless it ends.
 */
function inputRows(writes: readonly TracedWrite[]): RawBuilder<unknown> {
  const input = writes.map((write) => ({
    ...write,
    end: write.finish?.kind === 'end' ? write.finish : undefined,
    release: write.finish?.kind === 'release' ? write.finish : undefined,
  }));
  return rows('input', input, {
    task_id: uuid(({ lease }) => lease.taskId),
    own_turn: int(({ lease }) => lease.turn),
    fence: int(({ lease }) => lease.fence),
    events: int(({ events, end }) => (events?.length ?? 0) + (end === undefined ? 0 : 1)),
    // Null instead of false: a column without values costs nothing (rows.ts).
    has_steps: boolean(({ steps }) => (steps !== undefined && steps.length > 0) || null),
    has_output: boolean(({ steps }) => steps?.some(isProgress) || null),
    usage: json(({ taskUsage }) => (taskUsage === undefined ? null : JSON.stringify(taskUsage))),
    traceparent: text(({ traceparent }) => traceparent),
    message: json(getStatusMessage),
    error: text(({ finish }) => finish?.error),
    outcome: text(({ finish }) => finish && getAttemptOutcome(finish)),
    delay: float(({ release }) => release?.delaySeconds),
    count_attempt: boolean(({ release }) => release?.countAttempt),
    partner_failed: boolean(({ release }) => release?.partnerFailed || null),
    keeps_crash: boolean(({ release }) => release?.untried || release?.suspect || null),
    signals: int(({ release }) => release?.signals),
    yields: boolean(({ end }) => end !== undefined && yieldsToNextTurn(end.state)),
    end_class: int(({ end }) => end && getStateClass(end.state)),
    state: text(({ end }) => end?.state),
    payload: json(({ end }) => end?.payload),
    payload_if_continued: json(({ end }) => end?.payloadIfContinued),
    status_at: timestamp(({ end }) => end?.statusAt),
    direct: boolean(({ end }) => end?.direct),
    bytes: bigint(({ bytes }) => bytes),
  });
}

/** Returns the JSON of the status message after the write, or null if it does not change. */
function getStatusMessage({ events, finish }: TurnWrite): string | null {
  if (finish?.kind === 'end') return finish.message;
  return events?.findLast((event) => event.statusMessage !== undefined)?.statusMessage ?? null;
}

/** The events of the writes with their numbers, as the CTE `numbered`. */
function numberEvents(writes: readonly TracedWrite[]): RawBuilder<unknown> {
  const events = writes.flatMap(({ lease, events = [] }) =>
    events.map((event, index) => ({ ...event, taskId: lease.taskId, ordinal: index + 1 })),
  );
  const input = rowsOrLargeRow('written', events, ({ payload }) => payload.length, {
    task_id: uuid((event) => event.taskId),
    ordinal: int((event) => event.ordinal),
    kind: text((event) => event.kind),
    payload: json((event) => event.payload),
    artifact_id: text((event) => event.artifact?.artifactId),
    artifact: json((event) => event.artifact?.whole),
  });
  return sql`
    numbered as (
      select written.*, gate.own_turn, gate.last_event - gate.events + written.ordinal as seq, gate.config_rev,
        gate.traceparent
      from (${input}) written join gate on gate.task_id = written.task_id
    )`;
}
