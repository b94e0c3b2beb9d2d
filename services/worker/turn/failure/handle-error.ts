/** Decides what follows an error of the agent: the turn runs again, or its task fails. */
import type { Claimed } from '#shared/db/turns/claim.ts';
import type { TurnEnd, TurnRelease } from '#shared/db/turns/write.ts';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import { FatalError, OwnerLimitError, ParkedError } from '#shared/domain/errors.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { TurnOutcome } from '../../agent/agent.ts';
import { createTurnEnd, type TaskIds } from '../outcome.ts';
import type { WorkerTurn } from '../turn.ts';
import { getPartnerDelaySeconds, isReported, spendsAttempt, toClientMessage } from './partner-failure.ts';

/** Some errors quote what they failed on. */
const maxErrorChars = 10_000;

/** Facts about an attempt, known while it runs. */
export interface AttemptState {
  /** By `performance.now()`. */
  startedAt: number;
  /** The attempt has written a status message. */
  wroteStatus: boolean;
}

export interface FailedAttempt extends AttemptState {
  /** Undefined: the input could not be read. */
  turn: WorkerTurn | undefined;
  outageSeconds: number | undefined;
}

export async function handleError(
  { maxAttempts, log }: { maxAttempts: number; log: Logger },
  claimed: Claimed,
  { turn, outageSeconds, startedAt, wroteStatus }: FailedAttempt,
  error: unknown,
): Promise<TurnEnd | TurnRelease> {
  const { lease, attempts } = claimed;
  if (error instanceof FatalError) return createFailure(claimed, turn, error.message);
  if (error instanceof ParkedError) {
    // Once: a task that is parked again for the same reason keeps its status.
    if (error instanceof OwnerLimitError && claimed.lastError !== error.message) {
      await turn?.progress(error.message);
    }
    const delaySeconds = Math.max(0.1, (error.until.getTime() - databaseNow()) / 1000);
    log.info({ ...lease, delaySeconds, reason: error.message }, 'turn parked');
    instruments.turnsParked.record(1);
    return { kind: 'release', delaySeconds, countAttempt: false, error: error.message };
  }
  const cause = errorMessage(error);
  const failures = claimed.failures + 1;
  log.warn({ ...lease, err: error, attempts, failures }, 'turn failed');
  if (turn === undefined || outageSeconds === undefined || spendsAttempt(error)) {
    if (attempts >= maxAttempts) {
      return createFailure(claimed, turn, `Failed after ${attempts} attempts. Last error: ${cause}`, cause);
    }
    const delaySeconds = backoffSeconds(attempts, Math.random());
    return { kind: 'release', delaySeconds, countAttempt: true, error: cause };
  }
  const since = claimed.failingSince ?? new Date(databaseNow());
  const failingSeconds = (databaseNow() - since.getTime()) / 1000;
  const counts = { failures, failingSeconds, outageSeconds, maxAttempts };
  const delaySeconds = getPartnerDelaySeconds(counts, Math.random());
  const message = toClientMessage(error);
  if (delaySeconds === undefined) {
    return createFailure(claimed, turn, `Failed after ${failures} attempts. Last error: ${message}`, cause);
  }
  if (isReported(counts, { seconds: (performance.now() - startedAt) / 1000, wroteStatus })) {
    await turn.progress(`Waiting since ${since.toISOString()}: ${message}`);
  }
  return { kind: 'release', delaySeconds, countAttempt: false, partnerFailed: true, error: cause };
}

export function getIds({ lease, task }: Claimed): TaskIds {
  return { taskId: lease.taskId, contextId: task.contextId };
}

/**
 * Creates the failure of a task.
 *
 * @param text for clients
 * @param error for operators
 */
export function createFailure(
  claimed: Claimed,
  turn: WorkerTurn | undefined,
  text: string,
  error = text,
): TurnEnd {
  const outcome: TurnOutcome = { state: 'TASK_STATE_FAILED', message: text.slice(0, maxErrorChars) };
  const usage = turn === undefined ? claimed.task.usage : turn.usage();
  return createTurnEnd(getIds(claimed), claimed.statusAt, outcome, error.slice(0, maxErrorChars), usage);
}
