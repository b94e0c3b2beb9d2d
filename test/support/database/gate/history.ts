/**
 * Checks invariants 2 to 7 of ARCHITECTURE.md on the log of acts and on the actual order of the gates'
 * changes, which triggers record under the row locks that order them.
 */
import assert from 'node:assert/strict';
import type { Pool } from 'pg';
import { getStateClass, stateClass, type TaskState } from '#shared/domain/task.ts';
import type { LoggedAct } from './world.ts';

export async function recordHistory(pool: Pool): Promise<void> {
  await pool.query(`
    create table gate_history (
      id bigint generated always as identity primary key, task_id uuid, fence int, turn int, last_turn int,
      last_event int, state_class int, config_rev int, settled_at timestamptz
    );
    create index on gate_history (task_id);
    create function record_gate() returns trigger language plpgsql as $$ begin
      insert into gate_history (task_id, fence, turn, last_turn, last_event, state_class, config_rev, settled_at)
      values (new.task_id, new.fence, new.turn, new.last_turn, new.last_event, new.state_class, new.config_rev,
        new.settled_at);
      return null;
    end $$;
    create trigger record_gate after insert or update on gates for each row execute function record_gate();
    create table config_history (task_id uuid, config_id text, events text, change text, at bigint, state_class int);
    create function record_config() returns trigger language plpgsql as $$ declare config record; begin
      config := case when tg_op = 'DELETE' then old else new end;
      insert into config_history
      select config.task_id, config.id, config.events, tg_op, max(h.id), max(g.state_class)
      from gate_history h join gates g on g.task_id = h.task_id where h.task_id = config.task_id;
      return null;
    end $$;
    create trigger record_config after insert or delete on webhook_configs
      for each row execute function record_config();`);
}

interface GateRow {
  id: number;
  fence: number;
  turn: number;
  last_turn: number;
  last_event: number;
  state_class: number;
  config_rev: number;
  settled_at: Date | null;
}

interface EventRow {
  seq: number;
  kind: string;
  payload: { fence?: number; statusUpdate?: { status: { state: TaskState } } };
}

/** Checks everything about one task, after the world was drained. */
export async function checkTask(pool: Pool, taskId: string, all: readonly LoggedAct[]): Promise<void> {
  const acts = all.filter((act) => act.taskId === taskId);
  const read = async <T>(query: string): Promise<T[]> =>
    (await pool.query({ text: query, values: [taskId] })).rows as T[];
  const gates = await read<GateRow>(
    `select id::int, fence, turn, last_turn, last_event, state_class, config_rev, settled_at
     from gate_history where task_id = $1 order by id`,
  );
  const events = await read<EventRow>(
    `select seq, kind, payload from events where task_id = $1 order by seq`,
  );
  const [task] = await read<{ state: TaskState }>(`select state from tasks where id = $1`);
  checkGate(gates);
  checkEvents(events, gates, task?.state);
  checkHolders(acts);
  checkAfterEnd(acts);
  checkTurns(acts, task?.state);
  checkWakeups(acts);
  await checkSteps(read, acts);
  await checkDeliveries(read, events, gates);
}

/**
 * Fences, turns, event numbers and config revisions only grow; a terminal gate changes only for its configs.
 */
function checkGate(gates: readonly GateRow[]): void {
  for (const [index, now] of gates.entries()) {
    assert.equal(
      now.settled_at === null,
      now.state_class === stateClass.runnable,
      'settled_at and the state differ',
    );
    const before = gates[index - 1];
    if (before === undefined) continue;
    for (const field of ['fence', 'turn', 'last_turn', 'last_event', 'config_rev'] as const) {
      assert.ok(
        now[field] >= before[field],
        `invariant 3: ${field} fell from ${before[field]} to ${now[field]}`,
      );
    }
    if (before.state_class === stateClass.terminal) {
      const { id: _id, config_rev: _rev, ...rest } = now;
      const { id: _idBefore, config_rev: _revBefore, ...restBefore } = before;
      assert.deepEqual(rest, restBefore, 'invariant 4: a terminal gate changed');
    }
  }
}

function checkEvents(events: readonly EventRow[], gates: readonly GateRow[], state?: TaskState): void {
  assert.deepEqual(
    events.map((event) => event.seq),
    events.map((_, index) => index + 1),
    'invariant 5: events have gaps',
  );
  assert.equal(gates.at(-1)?.last_event, events.length, 'invariant 5: the gate counts the events');
  const states = events.filter((event) => event.kind === 'state').map(getState);
  assert.equal(states.at(-1), state, 'invariant 5: the last state event differs from the state');
  const terminal = events.filter((event) => event.kind === 'state' && isTerminal(event));
  assert.ok(terminal.length <= 1, 'invariant 4: terminal twice');
  if (terminal[0] !== undefined)
    assert.equal(terminal[0].seq, events.length, 'invariant 4: events after the end');
  const fences = events.flatMap((event) => event.payload.fence ?? []);
  assert.deepEqual(
    fences,
    fences.toSorted((a, b) => a - b),
    'invariant 3: an old owner wrote after a new one',
  );
}

/** No claim succeeds while the lease of an earlier claim is live, and no write succeeds after a later claim. */
function checkHolders(acts: readonly LoggedAct[]): void {
  const claims = acts.filter((act) => act.kind === 'claim' && act.ok).toSorted((a, b) => a.fence! - b.fence!);
  assert.equal(new Set(claims.map((claim) => claim.fence)).size, claims.length, 'invariant 3: a fence twice');
  for (const [index, claim] of claims.entries()) {
    const next = claims[index + 1];
    if (next === undefined) continue;
    const own = acts.filter((act) => act.ok && act.fence === claim.fence);
    const alive = own.filter((act) => act.kind === 'claim' || act.kind === 'extend');
    const since = Math.max(...alive.filter((act) => act.end < next.start).map((act) => act.start));
    const given = own.some((act) => act.kind === 'end' || act.kind === 'release');
    const expired = acts.some((act) => act.kind === 'expire' && act.end > since && act.start < next.end);
    assert.ok(given || expired, `invariant 3: fence ${next.fence} was claimed while ${claim.fence} was held`);
    for (const late of own) {
      assert.ok(late.start < next.end, `invariant 3: ${late.kind} under ${late.fence} after ${next.fence}`);
    }
  }
}

/** No act that started after the task ended succeeds. */
function checkAfterEnd(acts: readonly LoggedAct[]): void {
  const closing = acts.find(
    (act) =>
      act.ok &&
      (act.kind === 'cancel' ||
        (act.kind === 'end' && !['TASK_STATE_COMPLETED', ...interrupted].includes(act.state ?? ''))),
  );
  if (closing === undefined) return;
  for (const late of acts) {
    if (late.start < closing.end || ['expire', 'configure', 'unconfigure'].includes(late.kind)) continue;
    assert.ok(!late.ok, `invariant 4: ${late.kind} succeeded after ${closing.kind} ${closing.state ?? ''}`);
  }
}

const interrupted: readonly string[] = ['TASK_STATE_INPUT_REQUIRED', 'TASK_STATE_AUTH_REQUIRED'];

/** Each turn ends once, in order. Every accepted message has a turn, unless the task ended before. */
function checkTurns(acts: readonly LoggedAct[], state?: TaskState): void {
  const ended = acts.filter((act) => act.kind === 'end' && act.ok).toSorted((a, b) => a.fence! - b.fence!);
  const turns = ended.map((act) => act.turn);
  assert.deepEqual(
    turns,
    turns.map((_, index) => index + 1),
    'each turn ends once, in order',
  );
  if (['TASK_STATE_FAILED', 'TASK_STATE_CANCELED', 'TASK_STATE_REJECTED'].includes(state ?? '')) return;
  const messages = acts.filter((act) => act.kind === 'message' && act.ok);
  assert.equal(turns.length, 1 + messages.length, 'invariant 2: an accepted message had no turn');
}

/** A write that leaves a turn to run at once writes a wake-up. */
function checkWakeups(acts: readonly LoggedAct[]): void {
  for (const act of acts) {
    if (act.kind !== 'end' || !act.ok) continue;
    const later = acts.find((other) => other.kind === 'claim' && other.ok && other.turn === act.turn! + 1);
    const message = acts.find(
      (other) => other.kind === 'message' && other.ok && other.turn === act.turn! + 1,
    );
    if (later === undefined || message === undefined) continue;
    const woken = [act, message].some(({ wakeups }) => wakeups?.some((wakeup) => wakeup.kind === 'turn'));
    assert.ok(woken, `invariant 2: turn ${later.turn} had no wake-up`);
  }
}

/** The first record of a step stays. */
async function checkSteps(
  read: <T>(query: string) => Promise<T[]>,
  acts: readonly LoggedAct[],
): Promise<void> {
  const first = new Map<string, number>();
  for (const act of acts) {
    if (act.kind !== 'step' || !act.ok) continue;
    const key = `${act.turn}/${act.step}`;
    first.set(key, Math.min(first.get(key) ?? Infinity, act.fence!));
  }
  const rows = await read<{ key: string; output: number }>(
    `select turn || '/' || name as key, output from steps where task_id = $1`,
  );
  const stored = new Map(rows.map((row) => [row.key, row.output]));
  assert.deepEqual(stored, first, 'invariant 7: a recorded step changed or was lost');
}

/**
 * Each event has one delivery for each config of its time. A config created after the end gets the last
 * event.
 */
async function checkDeliveries(
  read: <T>(query: string) => Promise<T[]>,
  events: readonly EventRow[],
  gates: readonly GateRow[],
): Promise<void> {
  const changes = await read<{
    config_id: string;
    events: 'all' | 'state' | 'end';
    change: string;
    at: string;
    state_class: number;
  }>(`select config_id, events, change, at, state_class from config_history where task_id = $1`);
  const expected = new Set<string>();
  for (const created of changes.filter(({ change }) => change === 'INSERT')) {
    const { config_id: configId } = created;
    const removed = changes.find((other) => other.config_id === configId && other.change === 'DELETE');
    if (created.state_class === stateClass.terminal) expected.add(`${configId} ${events.length}`);
    for (const event of events) {
      const at = gates.find((gate) => gate.last_event >= event.seq)!.id;
      if (at < Number(created.at) || at > Number(removed?.at ?? Infinity)) continue;
      const matches =
        created.events === 'all' ||
        (event.kind === 'state' &&
          (created.events === 'state' || getStateClass(getState(event)!) !== stateClass.runnable));
      if (matches) expected.add(`${configId} ${event.seq}`);
    }
  }
  const rows = await read<{ delivery: string }>(
    `select config_id || ' ' || seq as delivery from deliveries where task_id = $1`,
  );
  assert.deepEqual(
    rows.map((row) => row.delivery).toSorted(),
    [...expected].toSorted(),
    'invariant 6: deliveries are missing or superfluous',
  );
}

function getState(event: EventRow): TaskState | undefined {
  return event.payload.statusUpdate?.status.state;
}

function isTerminal(event: EventRow): boolean {
  const state = getState(event);
  return state !== undefined && getStateClass(state) === stateClass.terminal;
}
