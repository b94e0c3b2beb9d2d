/**
 * Runs the current turn of a task again from a step that it has recorded. The record of this step and of those after it
 * is removed, and the fence is raised as by a release: an attempt that runs is refused its next write and aborts
 * (invariant 3). Only turns that have not ended are restarted, because a terminal task is final (invariant 4) and an
 * interrupted one has answered. Events and artifacts that clients have seen stay. Workers cancel and delete the calls of the
 * model that the removed steps have made at Google.
 */
import { sql, type Transaction } from 'kysely';
import { stateClass, type StateClass } from '../../domain/task.ts';
import { batchStep, interactionStep } from '../../domain/wait.ts';
import type { Wakeup } from '../../domain/wakeup.ts';
import { seconds } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { runTransaction } from '../client/transaction.ts';
import { rememberStoredCalls } from '../models/stored-calls.ts';
import { insertTurnWakeups, toTurnWakeup, type TurnWakeupRow } from '../outbox/outbox.ts';
import type { Database } from '../schema/schema.ts';
import { visibleTo, type Caller } from '../tasks/visibility.ts';

export interface StepName {
  name: string;
  /** Counts the steps of this name in the turn, from 0. */
  occurrence: number;
}

export type Restart =
  /** `steps` will run again, in their order. */
  | { kind: 'restarted'; turn: number; steps: StepName[]; wakeups: Wakeup[] }
  /** The task does not exist or is not the caller's. */
  | { kind: 'not_found' }
  /** The task has ended, or waits for its caller. */
  | { kind: 'ended' | 'interrupted' }
  /** `steps`: those that the turn has recorded. */
  | { kind: 'step_not_found'; turn: number; steps: StepName[] }
  /** A step that would run again has started children, or waits for some: they would be started or counted twice. */
  | { kind: 'has_children'; step: StepName };

export async function restartTurn(
  db: Db,
  options: { wakeupGraceSeconds: number; dryRun: boolean },
  caller: Caller,
  taskId: string,
  from: StepName,
): Promise<Restart> {
  return runTransaction(db, async (trx): Promise<Restart> => {
    const gate = await lockGate(trx, caller, taskId);
    if (gate === undefined) return { kind: 'not_found' };
    if (gate.stateClass === stateClass.terminal) return { kind: 'ended' };
    if (gate.stateClass === stateClass.interrupted) return { kind: 'interrupted' };
    const { turn } = gate;
    const recorded = await readSteps(trx, taskId, turn);
    const first = findFirst(recorded, from);
    if (first === undefined) return { kind: 'step_not_found', turn, steps: recorded.map(toStepName) };
    const again = recorded.filter(({ position }) => position >= first.position);
    const parent = again.find(({ isOfChildren }) => isOfChildren);
    if (parent !== undefined) return { kind: 'has_children', step: toStepName(parent) };
    const steps = again.map(toStepName);
    if (options.dryRun) return { kind: 'restarted', turn, steps, wakeups: [] };
    await sql`
      with old_steps as (
        delete from steps where task_id = ${taskId} and turn = ${turn} and position >= ${first.position}
        returning interaction
      ),
      ${rememberStoredCalls(sql`old_steps`)}
      select from old_steps`.execute(trx);
    return { kind: 'restarted', turn, steps, wakeups: await release(trx, options, taskId) };
  });
}

async function lockGate(
  trx: Transaction<Database>,
  caller: Caller,
  taskId: string,
): Promise<{ turn: number; stateClass: StateClass } | undefined> {
  const { rows } = await sql<{ turn: number; stateClass: StateClass }>`
    select g.turn, g.state_class as "stateClass" from gates g join tasks t on t.id = g.task_id
    where g.task_id = ${taskId} and ${visibleTo(caller)} for no key update of g`.execute(trx);
  return rows[0];
}

type StoredStep = StepName & { position: number; isOfChildren: boolean; isModelWait: boolean };

/**
 * Returns the first step that runs again. A call of the model at Google is three steps: its wait, its creation (or its place
 * in a batch) and its reply. They run again together.
 */
function findFirst(recorded: readonly StoredStep[], from: StepName): StoredStep | undefined {
  const index = recorded.findIndex(
    ({ name, occurrence }) => name === from.name && occurrence === from.occurrence,
  );
  const found = recorded[index];
  const at = recorded[index - (found?.name === modelStep ? 1 : 0)];
  if (at?.name !== interactionStep && at?.name !== batchStep) return found;
  const wait = recorded[recorded.indexOf(at) - 1];
  return wait?.isModelWait === true ? wait : found;
}

const modelStep = 'model';

/** The record of a call of `spawn` starts with its group (worker/turn/children). */
async function readSteps(trx: Transaction<Database>, taskId: string, turn: number): Promise<StoredStep[]> {
  const { rows } = await sql<StoredStep>`
    select name, occurrence, position,
      coalesce(wait::text ~ '"kind" ?: ?"model"', false) as "isModelWait",
      coalesce(wait::text ~ '"kind" ?: ?"children"', false) or exists (
        select from child_groups cg
        where cg.parent_id = s.task_id and starts_with(s.output::text, '{"group":"' || cg.id || '"')
      ) as "isOfChildren"
    from steps s where s.task_id = ${taskId} and s.turn = ${turn} order by s.position`.execute(trx);
  return rows;
}

const toStepName = ({ name, occurrence }: StepName): StepName => ({ name, occurrence });

/** The attempt that runs, if one does, ends here (turns/attempts.ts). The turn starts with all its attempts. */
async function release(
  trx: Transaction<Database>,
  { wakeupGraceSeconds }: { wakeupGraceSeconds: number },
  taskId: string,
): Promise<Wakeup[]> {
  const { rows } = await sql<TurnWakeupRow>`
    with held as (
      select task_id, fence, turn, worker, claimed_at from gates where task_id = ${taskId}
    ),
    gate as (
      update gates g set fence = g.fence + 1, lease_until = null, worker = null, claimed_at = null, attempts = 0,
        failures = 0, failing_since = null, run_at = now(), wakeup_at = now() + ${seconds(wakeupGraceSeconds)}
      from held where g.task_id = held.task_id
      returning g.task_id, g.turn
    ),
    attempt as (
      insert into turn_attempts (task_id, fence, turn, worker, started_at, ended_at, outcome)
      select task_id, fence, turn, worker, claimed_at, now(), 'restarted' from held
      where worker is not null and claimed_at is not null
    )
    ${insertTurnWakeups()}`.execute(trx);
  return rows.map(toTurnWakeup);
}
