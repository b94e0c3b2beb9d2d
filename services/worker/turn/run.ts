/**
 * Runs a claimed turn until it ends in one of these ways:
 *
 *   no attempts are left     ─▶ failed; its input is not read
 *   it may kill its worker   ─▶ put back while the worker runs another such turn; see suspects.ts
 *   agent returns            ─▶ completed, input-required, auth-required, rejected, failed, or a direct answer
 *   FatalError, malformed output
 *                            ─▶ failed, with the message of the error
 *   nothing to do but wait   ─▶ released until the first wait is due; see waits.ts. Spends no attempt
 *   ParkedError, no memory   ─▶ released until a given time; spends no attempt
 *   OwnerLimitError          ─▶ the same, with a status message for the client
 *   bug, timeout of a step, unreadable input
 *                            ─▶ released with backoff while attempts are left, then failed with the cause
 *   any other error          ─▶ released with backoff within outageSeconds, then failed with the cause
 *   turnSeconds is reached   ─▶ failed, with the limit
 *   the process stops        ─▶ released before the next step, or at once when the drain runs out; spends no attempt
 *   the lease is lost        ─▶ writes nothing more
 */
import { getTimeLimits } from '#shared/agent/definition.ts';
import type { ReadSpentToday } from '#shared/db/models/ledger.ts';
import type { CheckCost } from '#shared/db/owners/cost.ts';
import { countWriteBytes } from '#shared/db/owners/bytes.ts';
import type { UsageRecorder } from '#shared/db/owners/usage-recorder.ts';
import type { Claimed } from '#shared/db/turns/claim.ts';
import type { ReadTurnInput, TurnInput } from '#shared/db/turns/input/input.ts';
import type { Lease } from '#shared/db/turns/leases.ts';
import type { TurnEnd, TurnRelease, WriteTurn } from '#shared/db/turns/write.ts';
import { LeaseLostError } from '#shared/domain/errors.ts';
import type { TurnEndState } from '#shared/domain/task.ts';
import type { CallbackResult } from '#shared/domain/wait.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { linkActive } from '#shared/runtime/spans.ts';
import type { Agent, TurnOutcome } from '../agent/agent.ts';
import type { OpenTurnCalls } from './calls/open.ts';
import type { OpenTurnChildren } from './children/open.ts';
import type { OpenTurnFiles } from './output/files.ts';
import type { HeldLease } from './lease-heartbeat.ts';
import { createTurnEnd, getStatusTime } from './outcome.ts';
import { createFailure, getIds, handleError, type AttemptState } from './failure/handle-error.ts';
import type { MemoryBudget, MemoryReservation } from './memory-budget.ts';
import { raceAbort } from './race-abort.ts';
import type { StepIdentity } from './record.ts';
import { retryReadWhileLeased, retryWhileLeased } from './retry-while-leased.ts';
import { isSuspect, noSuspicion, Suspects, type Suspicion } from './suspects.ts';
import type { OpenOutputPace } from './output/pace.ts';
import type { FindEvent } from './output/store.ts';
import { createTurn, type WorkerTurn } from './turn.ts';
import { Suspension } from './waits.ts';

const stopped: TurnRelease = { kind: 'release', delaySeconds: 0, countAttempt: false, error: null };

/** The longest delay that setTimeout accepts: 24.8 days. */
const maxTimerMs = 2 ** 31 - 1;

export interface RunParts {
  agent: Agent;
  readInput: ReadTurnInput;
  write: WriteTurn;
  findEvent: FindEvent;
  timeOutCallback: (lease: Lease, step: StepIdentity) => Promise<CallbackResult | undefined>;
  /** Base URL of callbacks; undefined: there are none. */
  publicUrl: string | undefined;
  openFiles: OpenTurnFiles;
  /** Default: output is stored at once. */
  openPace?: OpenOutputPace;
  openChildren: OpenTurnChildren;
  openCalls: OpenTurnCalls;
  outbox: OutboxPublisher;
  memory: MemoryBudget;
  suspects: Suspects;
  maxAttempts: number;
  /** Throws an OwnerLimitError if the owner's cost limit is reached. */
  checkCost: CheckCost;
  /** Reads the spending of an owner since midnight UTC. */
  spentToday: ReadSpentToday;
  /** Counts what the turns of an owner store. */
  recorder: Pick<UsageRecorder, 'add'>;
  /** Maximum size of what the steps of one turn record, in bytes of JSON. */
  recordBytes: number;
  log: Logger;
}

/**
 * How a turn ended in this process, as logs and metrics show it: with a task state, `released` to run again,
 * `lost` with its lease, or `not_stored` because the database refused its end.
 */
export type TurnResult = TurnEndState | 'released' | 'lost' | 'not_stored';

/** @param releaseSignal aborts when the turn should be released before its next step */
export async function runTurn(
  parts: RunParts,
  claimed: Claimed,
  held: HeldLease,
  releaseSignal: AbortSignal,
): Promise<TurnResult> {
  const { log, recorder } = parts;
  const { lease } = claimed;
  const startedAt = performance.now();
  const state: AttemptState = { startedAt, wroteStatus: false };
  const write: WriteTurn = async (turnWrite) => {
    state.wroteStatus ||= turnWrite.events?.some(({ statusMessage }) => statusMessage !== undefined) ?? false;
    const written = await parts.write(turnWrite);
    recorder.add(claimed.task.owner, { bytes: countWriteBytes(turnWrite) });
    return written;
  };
  try {
    const finish = await runAttempt({ ...parts, write }, claimed, held, releaseSignal, state);
    const events = finish.kind === 'release' && finish.announcement ? [finish.announcement] : [];
    const hasFamily = claimed.task.isChild || claimed.task.isParent;
    const { wakeups } = await retryWhileLeased(held, log, () => write({ lease, events, finish, hasFamily }));
    passFaultPoint('turn-ended');
    parts.outbox.publish(wakeups);
    const end = finish.kind === 'end' ? finish.state : 'released';
    const ms = Math.round(performance.now() - startedAt);
    log.info({ ...lease, end, attempts: claimed.attempts, ms }, 'turn ended');
    return end;
  } catch (error) {
    // Nothing was written: another worker has claimed the turn, or will claim it when this lease expires.
    if (error instanceof LeaseLostError) {
      log.info({ ...lease, reason: error.message }, 'turn lost');
      return 'lost';
    }
    log.error({ ...lease, err: error }, 'turn end not stored');
    return 'not_stored';
  } finally {
    held.release();
  }
}

/** Runs the turn if it has attempts left and no other suspect is in its way. */
async function runAttempt(
  parts: RunParts,
  claimed: Claimed,
  held: HeldLease,
  releaseSignal: AbortSignal,
  state: AttemptState,
): Promise<TurnEnd | TurnRelease> {
  const { memory, suspects, maxAttempts } = parts;
  const { attempts, lastError } = claimed;
  if (attempts > maxAttempts) {
    const cause = lastError === null ? '' : ` Last error: ${lastError}`;
    const text = `Failed after ${maxAttempts} attempts: each one ended without a result, as if its worker had crashed.${cause}`;
    return createFailure(claimed, undefined, text, lastError ?? text);
  }
  // The process has started to stop while it claimed the turn: the agent's code before the first step is not run either.
  // A turn whose last worker died stays a suspect.
  if (releaseSignal.aborted) return claimed.crashed ? { ...stopped, untried: true } : stopped;
  const suspicion = isSuspect(claimed, maxAttempts) ? suspects.enter() : noSuspicion;
  if (suspicion === undefined) {
    const delaySeconds = Suspects.delaySeconds();
    return { kind: 'release', delaySeconds, countAttempt: false, untried: true, error: null };
  }
  const reservation = memory.open(held.signal, releaseSignal);
  try {
    return await runAgent(parts, claimed, { held, releaseSignal, reservation, suspicion, state });
  } finally {
    reservation.close();
    suspicion.clear();
  }
}

interface Attempt {
  held: HeldLease;
  releaseSignal: AbortSignal;
  reservation: MemoryReservation;
  /** Cleared when the turn has recorded a step. */
  suspicion: Suspicion;
  state: AttemptState;
}

async function runAgent(
  parts: RunParts,
  claimed: Claimed,
  { held, releaseSignal, reservation, suspicion, state }: Attempt,
): Promise<TurnEnd | TurnRelease> {
  const { agent, readInput, write, openFiles, outbox, recordBytes, checkCost, log } = parts;
  const { task } = claimed;
  let turn: WorkerTurn | undefined;
  let timer: NodeJS.Timeout | undefined;
  let limits: ReturnType<typeof getTimeLimits> | undefined;
  try {
    const read = (): Promise<TurnInput> => {
      reservation.release();
      return readInput(claimed, reservation);
    };
    const input = await retryReadWhileLeased(held, log, read, held.signal, releaseSignal);
    linkActive(task.traceparent);
    limits = getTimeLimits(input.definition);
    turn = createTurn({
      held,
      input,
      getStatusTime: () => {
        const time = getStatusTime(claimed.statusAt);
        claimed.statusAt = new Date(time);
        return time;
      },
      releaseSignal,
      stepSeconds: limits.stepSeconds,
      recordBytes,
      write,
      findEvent: parts.findEvent,
      lastEvent: claimed.lastEvent,
      signals: claimed.signals,
      timeOutCallback: (step) => parts.timeOutCallback(claimed.lease, step),
      publicUrl: parts.publicUrl,
      task,
      openChildren: parts.openChildren,
      openCalls: parts.openCalls,
      openFiles,
      pace: parts.openPace?.(task.owner, [held.signal, releaseSignal]),
      outbox,
      log,
      onRecorded: suspicion.clear,
      reserveMemory: (bytes) => reservation.take(bytes),
      checkCost,
      spentToday: parts.spentToday,
    });
    timer = abortAtLimit(held, limits.turnSeconds, input.startedSecondsAgo);
    await checkCost(task.owner);
    // An agent in plain JavaScript may return its outcome without a promise.
    const outcome = await raceAbort<TurnOutcome | Suspension>(held.signal, agent.run(turn), turn.suspended);
    if (outcome instanceof Suspension) return outcome.release;
    await turn.complete(outcome);
    const stored = await turn.storeOutcomeFiles(outcome);
    return createTurnEnd(getIds(claimed), claimed.statusAt, stored, null, turn.usage());
  } catch (error) {
    if (error instanceof LeaseLostError) throw error;
    const lost = held.lost();
    if (lost !== undefined) throw lost;
    if (releaseSignal.aborted) return suspicion.isCleared ? stopped : { ...stopped, suspect: true };
    if (held.signal.aborted) {
      const text = `The turn was stopped at its limit of ${limits?.turnSeconds} seconds. The output produced so far is kept.`;
      return createFailure(claimed, turn, text);
    }
    return handleError(parts, claimed, { ...state, turn, outageSeconds: limits?.outageSeconds }, error);
  } finally {
    clearTimeout(timer);
  }
}

/** Aborts the turn when it reaches its limit, counted from its first recorded step on any worker. */
function abortAtLimit(held: HeldLease, turnSeconds: number | undefined, elapsedSeconds: number) {
  if (turnSeconds === undefined) return undefined;
  const leftMs = Math.max(0, turnSeconds - elapsedSeconds) * 1000;
  const abort = () => held.abort(new Error(`the turn reached its limit of ${turnSeconds} seconds`));
  return setTimeout(abort, Math.min(leftMs, maxTimerMs));
}
