/**
 * The calls of other A2A agents by a turn. A call is a wait, and has one record:
 *
 *   recorded ─▶ sent ─▶ its task is recorded ─▶ suspended ──due, or notified──▶ polled ──settled──▶ result recorded
 *   (the intent)  │                                ▲                             │
 *                 └─▶ answered at once             └────due again, later each time┘
 *
 * A call whose agent is busy is suspended too, until the time that the agent has named. The id of the message follows from
 * the task, the turn and the step. After a crash, a task that shows this message is looked for first. If there is none, the
 * message is sent again, and is the same for an agent that knows repeats. An agent that sends notifications may also name
 * the task of a message whose answer was lost with the worker.
 */
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { Part } from '#shared/domain/message.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import { getAgentPollSeconds, type AgentWait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { CallOptions, CallResult } from '../../agent/agent.ts';
import { BusyError, RefusedError, type RemoteTask } from '../../agent/remote/agent.ts';
import { checkContent } from '../output/check.ts';
import type { ReachedStep } from '../record.ts';
import { assertSeconds, awaitable } from '../waits.ts';
import { followTask } from '../relay/follow.ts';
import type { RelayedCall } from '../relay/relayed-call.ts';
import {
  getAgeSeconds,
  isSettled,
  mayBeStale,
  toStored,
  withAnswer,
  withTask,
  type Call,
  type KnownTask,
} from './call.ts';
import { openCall, type NewCall } from './create.ts';
import { loseTask } from './lost.ts';
import { findHopsProblem } from './message.ts';
import type { CallParts } from './parts.ts';
import { createResult, fitResult, toResult } from './result.ts';
import { LateError, within } from './within.ts';

/** When a task is polled that may not have taken its message yet. */
const staleSeconds = 0.5;
/** The longest time in which the task of a call that has timed out is looked for and canceled. */
const cancelSeconds = 30;

export class Calls {
  readonly #parts: CallParts;

  constructor(parts: CallParts) {
    this.#parts = parts;
  }

  /**
   * @param relay how a gateway shows the task of the other agent
   * @throws {FatalError} if an argument is not valid, or the record of the turn has another step here
   */
  call(
    name: string,
    message: Part[] | string,
    options: CallOptions = {},
    relay?: RelayedCall,
  ): PromiseLike<CallResult> {
    const { agents, waits } = this.#parts;
    const what = `call("${name}")`;
    const definition = Object.hasOwn(agents, name) ? agents[name] : undefined;
    if (definition === undefined) {
      throw new FatalError(
        `${what}: the definition has no agent of this name: it has ${Object.keys(agents).join(', ') || 'none'}.`,
      );
    }
    checkContent(`${what}: message`, message);
    const { timeoutSeconds = definition.timeoutSeconds } = options;
    assertSeconds(`${what}: timeoutSeconds`, timeoutSeconds, 1);
    const reached = waits.reach(`call:${name}`, 'agent');
    if (reached.earlier?.finished === true) {
      const result = reached.earlier.output as CallResult;
      return awaitable(async () => result);
    }
    const started = this.#start(reached, { name, definition, ...options, timeoutSeconds, message, relay });
    // Reported when the call is awaited.
    started.catch(() => undefined);
    return awaitable(async () => {
      const call = await started;
      return 'status' in call ? call : this.#wait(call);
    });
  }

  async #start(reached: ReachedStep, options: NewCall): Promise<Call | CallResult> {
    const { waits } = this.#parts;
    const { wait, open, connect } = await openCall(this.#parts, reached, options);
    // A turn runs again for a reason, which may be a notification about this call.
    const busyMs = wait.busyUntil === undefined ? 0 : Date.parse(wait.busyUntil) - databaseNow();
    open.dueAt = performance.now() + Math.max(0, busyMs);
    return waits.run(async () => {
      const call = await connect();
      if (call.wait.task !== undefined || busyMs > 0) return call;
      const refusal = findHopsProblem(this.#parts);
      if (refusal !== undefined) return this.#finish(call, createResult('refused', refusal));
      try {
        return await this.#send(call);
      } catch (error) {
        waits.close(open);
        throw error;
      }
    });
  }

  async #send(call: Call): Promise<Call | CallResult> {
    const { held, releaseSignal } = this.#parts;
    const { remote, message, mayBeSent } = call;
    held.signal.throwIfAborted();
    releaseSignal.throwIfAborted();
    await held.assertHeld();
    if (mayBeSent) {
      const earlier = await this.#orEnd(call, async () => ({
        found: await remote.find(message, held.signal),
      }));
      if (!('found' in earlier)) return earlier;
      const { found } = earlier;
      if (found !== undefined)
        return this.#recordTask(call, { id: found.taskId, notifies: found.notifies }, 0);
    }
    const leftSeconds = call.timeoutSeconds - getAgeSeconds(call.open);
    const sent = await this.#orEnd(call, () =>
      within(leftSeconds, held.signal, (bound) => remote.send(message, bound)),
    );
    if ('status' in sent || 'open' in sent) return sent;
    passFaultPoint('call-sent');
    if (sent.task === undefined) {
      const answered = withAnswer(call, sent.contextId);
      return this.#finish(answered, createResult('completed', sent.message, { contextId: sent.contextId }));
    }
    const { task, notifies } = sent;
    const known = { id: task.id, notifies, contextId: task.contextId };
    if (mayBeStale(message, task)) return this.#recordTask(call, known, staleSeconds);
    if (isSettled(task)) return this.#settle(withTask(call, known), task);
    return this.#recordTask(call, known);
  }

  /** @param dueInSeconds when the task is polled. Default: by its age */
  async #recordTask(call: Call, task: KnownTask, dueInSeconds?: number): Promise<Call> {
    const { waits, replace } = this.#parts;
    const known = withTask(call, task);
    const delaySeconds = dueInSeconds ?? this.#getDelay(known, 0);
    await replace(call.identity, { wait: toStored(known), dueInSeconds: delaySeconds });
    waits.reopen(call.open, delaySeconds * 1000);
    return known;
  }

  async #wait(first: Call): Promise<CallResult> {
    const { waits } = this.#parts;
    let call = first;
    for (;;) {
      const followed = await this.#follow(call);
      if ('status' in followed) return followed;
      await waits.untilDue(followed.open);
      const due = followed;
      const next = await waits.run(() => (due.wait.task === undefined ? this.#send(due) : this.#poll(due)));
      if ('status' in next) return next;
      call = next;
    }
  }

  /** Follows the stream of a lively task. Returns the call while the other agent works. */
  async #follow(call: Call): Promise<Call | CallResult> {
    const { held, releaseSignal, waits } = this.#parts;
    const { mirror, remote, open, timeoutSeconds } = call;
    const { task: taskId } = call.wait;
    if (mirror === undefined || taskId === undefined || !call.isLively) return call;
    return waits.run(async () => {
      const leftMs = (timeoutSeconds - getAgeSeconds(open)) * 1000;
      const signals = { signal: held.signal, releaseSignal };
      const followed = await followTask(remote, taskId, mirror, { ...signals, leftMs });
      if (followed.end === 'settled') return this.#settle(call, followed.task);
      await mirror.flush();
      if (followed.end === 'refused') waits.reopen(open, 0);
      if (followed.end === 'broken') await this.#store(call, 1);
      if (followed.end === 'silent') await this.#store(call, this.#getDelay(call, getAgeSeconds(open)));
      return { ...call, isLively: false };
    });
  }

  async #store(call: Call, dueInSeconds: number): Promise<void> {
    const { waits, store } = this.#parts;
    const { identity, open, token } = call;
    await store({ ...identity, output: null, wait: { wait: toStored(call), dueInSeconds, token } });
    waits.reopen(open, dueInSeconds * 1000);
  }

  /** Returns the call while the other agent works. */
  async #poll(call: Call): Promise<Call | CallResult> {
    const { held } = this.#parts;
    const { remote, open, mirror, timeoutSeconds } = call;
    const { task: taskId = '' } = call.wait;
    const found = await this.#orEnd(call, async () => ({ task: await remote.get(taskId, held.signal) }));
    if (!('task' in found)) return found;
    const { task } = found;
    if (task === undefined) return this.#lose(call, taskId);
    if (isSettled(task)) return this.#settle(call, task);
    const isLively = (await mirror?.show(task)) ?? false;
    const ageSeconds = getAgeSeconds(open);
    if (ageSeconds >= timeoutSeconds) return this.#timeOut(call);
    await this.#store(call, this.#getDelay(call, ageSeconds));
    return { ...call, isLively };
  }

  /** The other agent no longer has the task. A gateway may send the message again. */
  async #lose(call: Call, taskId: string): Promise<Call | CallResult> {
    const lost = await loseTask(call, taskId);
    if (typeof lost === 'string') return this.#finish(call, createResult('failed', lost, { taskId }));
    await this.#parts.replace(call.identity, { wait: toStored(lost), dueInSeconds: 0 });
    this.#parts.waits.reopen(call.open, 0);
    return lost;
  }

  /**
   * Ends the call if the other agent refuses a request, or is unavailable when the time of the call is over. Postpones it
   * if the agent asks to wait.
   */
  async #orEnd<T extends object>(call: Call, request: () => Promise<T>): Promise<T | Call | CallResult> {
    try {
      return await request();
    } catch (error) {
      this.#parts.held.signal.throwIfAborted();
      const { task: taskId } = call.wait;
      if (error instanceof RefusedError) {
        const status = call.mirror !== undefined && error.byAgent ? 'rejected' : 'refused';
        return this.#finish(
          call,
          createResult(status, error.message, taskId === undefined ? {} : { taskId }),
        );
      }
      if (error instanceof RetryableError && getAgeSeconds(call.open) >= call.timeoutSeconds)
        return this.#timeOut(call);
      if (error instanceof LateError) return this.#timeOut(call);
      if (error instanceof BusyError) return this.#postpone(call, error.retryAfterSeconds);
      throw error;
    }
  }

  async #postpone(call: Call, retryAfterSeconds: number): Promise<Call> {
    const { waits, replace } = this.#parts;
    const { identity, open, timeoutSeconds } = call;
    const dueInSeconds = Math.min(retryAfterSeconds, timeoutSeconds - getAgeSeconds(open));
    const busyUntil = new Date(databaseNow() + dueInSeconds * 1000).toISOString();
    const busy = { ...call, wait: { ...call.wait, busyUntil } };
    await replace(identity, { wait: toStored(busy), dueInSeconds });
    waits.reopen(open, dueInSeconds * 1000);
    return busy;
  }

  async #timeOut(call: Call): Promise<CallResult> {
    const { signal } = this.#parts.held;
    const { remote, message } = call;
    let { task: taskId } = call.wait;
    // Nothing reads its result anymore.
    const cancel = async (bound: AbortSignal): Promise<void> => {
      taskId ??= (await remote.find(message, bound))?.taskId;
      if (taskId !== undefined) await remote.cancel(taskId, bound);
    };
    await within(cancelSeconds, signal, cancel).catch(() => signal.throwIfAborted());
    const text = `The agent "${call.name}" did not finish within ${call.timeoutSeconds} s.`;
    return this.#finish(call, createResult('timed_out', text, taskId === undefined ? {} : { taskId }));
  }

  async #settle(call: Call, task: RemoteTask): Promise<CallResult> {
    await call.mirror?.finish(task);
    // If our task ends before its caller has answered, the other one is canceled.
    if (getStateClass(task.state) === stateClass.interrupted) {
      const wait: AgentWait = { ...toStored(call), asks: true };
      await this.#parts.replace(call.identity, { wait, dueInSeconds: 0 });
    }
    return this.#finish(call, toResult(task, call.mirror !== undefined));
  }

  async #finish(call: Call, result: CallResult): Promise<CallResult> {
    const { waits, record } = this.#parts;
    const { identity, open, token } = call;
    const fitting = fitResult(result);
    await record(
      { ...identity, output: null, wait: { wait: toStored(call), dueInSeconds: 0, token } },
      fitting,
    );
    waits.close(open);
    return fitting;
  }

  #getDelay({ wait, timeoutSeconds }: Call, ageSeconds: number): number {
    const delay = getAgentPollSeconds(ageSeconds, wait.secret !== undefined);
    return Math.max(0, Math.min(delay, timeoutSeconds - ageSeconds));
  }
}
