/**
 * Runs a claimed turn to one of its ends:
 *
 *   agent returns            ─▶ completed, input-required, auth-required, rejected, failed, or a direct answer
 *   FatalError               ─▶ failed, with its message
 *   ParkedError              ─▶ given back until a time; no attempt spent
 *   any other error          ─▶ given back with backoff while attempts are left, then failed with the cause
 *   turnSeconds is reached   ─▶ failed, with the limit
 *   the process stops        ─▶ given back: before the next step, or at once when its time is up; no attempt spent
 *   the lease is lost        ─▶ nothing more is written
 */
import { getTimeLimits } from '#shared/agent/definition.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Claimed } from '#shared/db/turns/claim.ts';
import type { ReadTurnInput } from '#shared/db/turns/input.ts';
import type { TurnEnd, TurnRelease, WriteTurn } from '#shared/db/turns/write.ts';
import { FatalError, LeaseLostError, ParkedError } from '#shared/domain/errors.ts';
import type { EventPayload } from '#shared/domain/events.ts';
import { backoffSeconds } from '#shared/domain/backoff.ts';
import type { TaskState } from '#shared/domain/task.ts';
import { usageMetadata, type Usage } from '#shared/domain/usage.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { linkActive } from '#shared/runtime/spans.ts';
import { raceAbort } from './race-abort.ts';
import type { Agent, TurnOutcome } from '../agent/agent.ts';
import type { FilesOf } from './files.ts';
import { retryWhileLeased } from './retry-while-leased.ts';
import type { HeldLease } from './lease-heartbeat.ts';
import { agentMessage, createTurn } from './turn.ts';

/** Timers know no longer one: 24 days. */
const longestTimerMs = 2 ** 31 - 1;

export interface RunParts {
  readInput: ReadTurnInput;
  agent: Agent;
  write: WriteTurn;
  filesOf: FilesOf;
  outbox: OutboxPublisher;
  maxAttempts: number;
  log: Logger;
}

/**
 * @param checkpoint aborts when the turn is to be given back before its next step
 * @returns how it ended: a state, `release`, or what kept its end from being stored
 */
export async function runTurn(
  parts: RunParts,
  claimed: Claimed,
  held: HeldLease,
  checkpoint: AbortSignal,
): Promise<string> {
  const { log } = parts;
  const { lease } = claimed;
  const began = performance.now();
  try {
    const finish = await attempt(parts, claimed, held, checkpoint);
    const { wakeups } = await retryWhileLeased(held, log, () => parts.write({ lease, finish }));
    passFaultPoint('turn-ended');
    parts.outbox.publish(wakeups);
    const end = finish.kind === 'end' ? finish.state : finish.kind;
    const ms = Math.round(performance.now() - began);
    log.info({ ...lease, end, attempts: claimed.attempts, ms }, 'turn ended');
    return end;
  } catch (error) {
    // Nothing was written: the turn is somebody else's now, or will be when this lease has run out.
    if (error instanceof LeaseLostError) {
      log.info({ ...lease, reason: error.message }, 'turn lost');
      return 'lost';
    }
    log.error({ ...lease, err: error }, 'the end of a turn could not be stored');
    return 'not stored';
  } finally {
    held.release();
  }
}

async function attempt(
  { readInput, agent, write, filesOf, outbox, maxAttempts, log }: RunParts,
  { lease, attempts, stored }: Claimed,
  held: HeldLease,
  checkpoint: AbortSignal,
): Promise<TurnEnd | TurnRelease> {
  const input = await retryWhileLeased(held, log, () => readInput(lease, stored));
  const ids = { taskId: lease.taskId, contextId: input.contextId };
  linkActive(input.traceparent);
  const { turnSeconds, stepSeconds } = getTimeLimits(input.definition);
  const own = createTurn({ held, input, checkpoint, stepSeconds, write, filesOf, outbox, log });
  const toEnd = (outcome: TurnOutcome, error: string | null) => endOf(ids, outcome, error, own.usage());
  const failed = (text: string, error = text) => toEnd({ state: 'TASK_STATE_FAILED', message: text }, error);
  // The worker died that often before it could tell what was wrong.
  if (attempts > maxAttempts) {
    return failed(
      `Given up after ${maxAttempts} attempts: each one ended without a result, as if its worker had died.`,
    );
  }
  const timer = stopInTime(held, turnSeconds, input.startedSecondsAgo);
  try {
    const outcome = await raceAbort(held.signal, agent.run(own));
    own.assertAllMatched();
    return toEnd(await own.settled(outcome), null);
  } catch (error) {
    if (error instanceof LeaseLostError) throw error;
    const lost = held.lost();
    if (lost !== undefined) throw lost;
    if (checkpoint.aborted) return { kind: 'release', delaySeconds: 0, countAttempt: false, error: null };
    if (held.signal.aborted) {
      return failed(
        `The turn was stopped at its limit of ${turnSeconds} seconds. What was made until then is kept.`,
      );
    }
    if (error instanceof FatalError) return failed(error.message);
    if (error instanceof ParkedError) {
      const delaySeconds = Math.max(0.1, (error.until.getTime() - Date.now()) / 1000);
      log.info({ ...lease, delaySeconds, reason: error.message }, 'turn parked');
      instruments.turnsParked.record(1);
      return { kind: 'release', delaySeconds, countAttempt: false, error: error.message };
    }
    const cause = errorMessage(error);
    log.warn({ ...lease, err: error, attempts }, 'turn failed');
    if (attempts >= maxAttempts) {
      return failed(`Given up after ${attempts} attempts. The last one failed: ${cause}`, cause);
    }
    return {
      kind: 'release',
      delaySeconds: backoffSeconds(attempts, Math.random()),
      countAttempt: true,
      error: cause,
    };
  } finally {
    clearTimeout(timer);
  }
}

/** Stops a turn that began so long ago when it has had its time. */
function stopInTime(held: HeldLease, turnSeconds: number | undefined, begunSecondsAgo: number) {
  if (turnSeconds === undefined) return undefined;
  const leftMs = Math.max(0, turnSeconds - begunSecondsAgo) * 1000;
  const stop = () => held.stop(new Error(`the turn has reached its limit of ${turnSeconds} seconds`));
  return setTimeout(stop, Math.min(leftMs, longestTimerMs));
}

function endOf(
  ids: { taskId: string; contextId: string },
  outcome: TurnOutcome,
  error: string | null,
  usage: Usage | undefined,
): TurnEnd {
  const direct = 'direct' in outcome;
  const state = direct ? 'TASK_STATE_COMPLETED' : outcome.state;
  const content = direct ? outcome.direct : outcome.message;
  const extensions = 'extensions' in outcome ? outcome.extensions : undefined;
  const message = content === undefined ? undefined : agentMessage(ids, content, extensions);
  const statusAt = new Date().toISOString();
  const statusEvent = (state: TaskState): EventPayload => ({
    statusUpdate: {
      ...ids,
      status: { state, timestamp: statusAt, ...(message !== undefined && { message }) },
      ...(usage !== undefined && { metadata: usageMetadata(usage) }),
    },
  });
  return {
    kind: 'end',
    state,
    payload: JSON.stringify(statusEvent(state)),
    payloadIfContinued: JSON.stringify(statusEvent('TASK_STATE_WORKING')),
    statusAt,
    message: message === undefined ? null : JSON.stringify(message),
    direct,
    error,
  };
}
