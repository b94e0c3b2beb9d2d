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
import { randomBytes } from 'node:crypto';
import type { RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import type { NewStep, NewWait } from '#shared/db/turns/write.ts';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import { getAgentPollSeconds, type AgentWait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { CallOptions, CallResult } from '../../agent/agent.ts';
import { BusyError, RefusedError, type RemoteAgents, type RemoteTask } from '../../agent/remote/agent.ts';
import type { HeldLease } from '../lease-heartbeat.ts';
import { checkContent } from '../output/check.ts';
import type { ReachedStep, StepIdentity } from '../record.ts';
import { assertSeconds, awaitable, type Waits } from '../waits.ts';
import { getAgeSeconds, isSettled, withTask, type Call, type KnownTask } from './call.ts';
import { createMessage, findHopsProblem } from './message.ts';
import { createResult, fitResult, toResult } from './result.ts';

export interface CallParts {
  held: HeldLease;
  /** Aborts when nothing more should start. */
  releaseSignal: AbortSignal;
  remote: RemoteAgents;
  /** The agents of the definition. */
  agents: Record<string, RemoteAgentDefinition>;
  maxHops: number;
  /** Metadata of the request that created the task. */
  metadata: JsonObject;
  waits: Waits;
  /** Base URL of notifications; undefined: there are none. */
  publicUrl: string | undefined;
  store: (step: NewStep) => Promise<void>;
  /** Replaces an open wait. */
  replace: (step: StepIdentity, wait: { wait: AgentWait; dueInSeconds: number }) => Promise<void>;
  /** Records the end of a call. */
  record: (step: NewStep, result: CallResult) => Promise<void>;
}

export class Calls {
  readonly #parts: CallParts;

  constructor(parts: CallParts) {
    this.#parts = parts;
  }

  /** @throws {FatalError} if an argument is not valid, or the record of the turn has another step here */
  call(name: string, message: Part[] | string, options: CallOptions = {}): PromiseLike<CallResult> {
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
      const result = reached.earlier.output as unknown as CallResult;
      return awaitable(async () => result);
    }
    const started = this.#start(name, definition, reached, { ...options, timeoutSeconds, message });
    // Reported when the call is awaited.
    started.catch(() => undefined);
    return awaitable(async () => {
      const call = await started;
      return 'status' in call ? call : this.#wait(call);
    });
  }

  async #start(
    name: string,
    definition: RemoteAgentDefinition,
    { identity, earlier }: ReachedStep,
    options: CallOptions & { timeoutSeconds: number; message: Part[] | string },
  ): Promise<Call | CallResult> {
    const { waits, remote } = this.#parts;
    const { timeoutSeconds } = options;
    const recorded = earlier?.wait;
    const wait: AgentWait =
      recorded?.wait.kind === 'agent'
        ? recorded.wait
        : { kind: 'agent', agent: name, secret: createSecret() };
    const token = recorded?.token ?? createSecret();
    const dueInSeconds = Math.min(timeoutSeconds, getAgentPollSeconds(0, false));
    const open = await waits.open(identity, earlier, { wait, dueInSeconds, token }, { timeoutSeconds });
    // A turn runs again for a reason, which may be a notification about this call.
    const busyMs = wait.busyUntil === undefined ? 0 : Date.parse(wait.busyUntil) - databaseNow();
    open.dueAt = performance.now() + Math.max(0, busyMs);
    return waits.run(async () => {
      const task = wait.task ?? wait.reported;
      const call: Call = {
        name,
        identity,
        remote: await remote.open(name, definition),
        open,
        wait: task === undefined ? wait : { ...wait, task },
        token,
        timeoutSeconds,
        message: createMessage({ ...this.#parts, lease: this.#parts.held.lease }, identity, {
          ...options,
          wait,
          token,
        }),
        mayBeSent: recorded !== undefined,
      };
      if (task !== undefined || busyMs > 0) return call;
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
    const sent = await this.#orEnd(call, () => remote.send(message, held.signal));
    if ('status' in sent || 'open' in sent) return sent;
    passFaultPoint('call-sent');
    if (sent.task === undefined) {
      return this.#finish(call, createResult('completed', sent.message, { contextId: sent.contextId }));
    }
    const { task, notifies } = sent;
    if (isSettled(task)) return this.#settle(withTask(call, { id: task.id, notifies }), task);
    return this.#recordTask(call, { id: task.id, notifies });
  }

  /** @param dueInSeconds when the task is polled. Default: by its age */
  async #recordTask(call: Call, task: KnownTask, dueInSeconds?: number): Promise<Call> {
    const { waits, replace } = this.#parts;
    const known = withTask(call, task);
    const delaySeconds = dueInSeconds ?? this.#getDelay(known, 0);
    await replace(call.identity, { wait: known.wait, dueInSeconds: delaySeconds });
    waits.reopen(call.open, delaySeconds * 1000);
    return known;
  }

  async #wait(first: Call): Promise<CallResult> {
    const { waits } = this.#parts;
    let call = first;
    for (;;) {
      await waits.untilDue(call.open);
      const due = call;
      const next = await waits.run(() => (due.wait.task === undefined ? this.#send(due) : this.#poll(due)));
      if ('status' in next) return next;
      call = next;
    }
  }

  /** Returns the call while the other agent works. */
  async #poll(call: Call): Promise<Call | CallResult> {
    const { held, waits, store } = this.#parts;
    const { identity, remote, open, wait, token, timeoutSeconds } = call;
    const { task: taskId = '' } = wait;
    const found = await this.#orEnd(call, async () => ({ task: await remote.get(taskId, held.signal) }));
    if (!('task' in found)) return found;
    const { task } = found;
    if (task === undefined) {
      return this.#finish(
        call,
        createResult('failed', `The agent "${call.name}" no longer has the task ${taskId}.`, { taskId }),
      );
    }
    if (isSettled(task)) return this.#settle(call, task);
    const ageSeconds = getAgeSeconds(open);
    if (ageSeconds >= timeoutSeconds) return this.#timeOut(call);
    const dueInSeconds = this.#getDelay(call, ageSeconds);
    const due: NewWait = { wait, dueInSeconds, token };
    await store({ ...identity, output: null, wait: due });
    waits.reopen(open, dueInSeconds * 1000);
    return call;
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
        return this.#finish(
          call,
          createResult('refused', error.message, taskId === undefined ? {} : { taskId }),
        );
      }
      if (error instanceof RetryableError && getAgeSeconds(call.open) >= call.timeoutSeconds)
        return this.#timeOut(call);
      if (error instanceof BusyError) return this.#postpone(call, error.retryAfterSeconds);
      throw error;
    }
  }

  async #postpone(call: Call, retryAfterSeconds: number): Promise<Call> {
    const { waits, replace } = this.#parts;
    const { identity, open, timeoutSeconds } = call;
    const dueInSeconds = Math.min(retryAfterSeconds, timeoutSeconds - getAgeSeconds(open));
    const busyUntil = new Date(databaseNow() + dueInSeconds * 1000).toISOString();
    const wait = { ...call.wait, busyUntil };
    await replace(identity, { wait, dueInSeconds });
    waits.reopen(open, dueInSeconds * 1000);
    return { ...call, wait };
  }

  async #timeOut(call: Call): Promise<CallResult> {
    const { held } = this.#parts;
    const { task: taskId } = call.wait;
    // Nothing reads its result anymore.
    if (taskId !== undefined)
      await call.remote.cancel(taskId, held.signal).catch(() => held.signal.throwIfAborted());
    const text = `The agent "${call.name}" did not finish within ${call.timeoutSeconds} s.`;
    return this.#finish(call, createResult('timed_out', text, taskId === undefined ? {} : { taskId }));
  }

  async #settle(call: Call, task: RemoteTask): Promise<CallResult> {
    // If our task ends before its caller has answered, the other one is canceled.
    if (getStateClass(task.state) === stateClass.interrupted) {
      await this.#parts.replace(call.identity, { wait: { ...call.wait, asks: true }, dueInSeconds: 0 });
    }
    return this.#finish(call, toResult(task));
  }

  async #finish({ identity, open, wait, token }: Call, result: CallResult): Promise<CallResult> {
    const { waits, record } = this.#parts;
    const fitting = fitResult(result);
    await record({ ...identity, output: null, wait: { wait, dueInSeconds: 0, token } }, fitting);
    waits.close(open);
    return fitting;
  }

  #getDelay({ wait, timeoutSeconds }: Call, ageSeconds: number): number {
    const delay = getAgentPollSeconds(ageSeconds, wait.secret !== undefined);
    return Math.max(0, Math.min(delay, timeoutSeconds - ageSeconds));
  }
}

function createSecret(): string {
  return randomBytes(32).toString('base64url');
}
