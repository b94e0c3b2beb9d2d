/**
 * A queue stores its tasks and decides when to dispatch them.
 *
 *   created ──due, queue running, below both limits──▶ dispatched ──2xx──▶ removed (executed)
 *      ▲                                                   │
 *      └──── retried after a backoff ◀── other response ───┴── attempts spent ──▶ removed (abandoned)
 *
 * The queue does not poll: one timer fires at the earliest time at which a task can be dispatched. The name
 * of a removed task stays reserved for `dedupMs`.
 */
import { status } from '@grpc/grpc-js';
import { fromMillis } from '../emulator/duration.ts';
import { DueHeap } from './due-heap.ts';
import { getBurstSize, getRetryDelay, toWireSettings, type QueueSettings } from './queue-settings.ts';
import { alreadyExists, notFound } from '../emulator/status.ts';
import type { TargetClient } from './target-client.ts';
import type { DispatchAttempt, CloudTask } from './task.ts';
import { QueueState, type WireQueue } from './wire.ts';

const maxTimerMs = 86_400_000; // setTimeout accepts at most 24.8 days

export interface QueueEvents {
  /** Called when a task has used up its attempts. */
  abandoned(task: CloudTask): void;
}

export class TaskQueue {
  readonly name: string;
  readonly tasks = new Map<string, CloudTask>();
  readonly #id: string;
  readonly #client: TargetClient;
  readonly #events: QueueEvents;
  readonly #dedupMs: number;
  readonly #due = new DueHeap<{ task: CloudTask; schedule: number }>();
  /** Names of removed tasks and the time until which they stay reserved, oldest first. */
  readonly #reserved = new Map<string, number>();
  #settings: QueueSettings;
  #paused = false;
  #closed = false;
  #purgedAt: number | undefined;
  #inFlight = 0;
  #tokens: number;
  #refilledAt = Date.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    name: string,
    settings: QueueSettings,
    client: TargetClient,
    dedupMs: number,
    events: QueueEvents,
  ) {
    this.name = name;
    this.#id = name.slice(name.lastIndexOf('/') + 1);
    this.#settings = settings;
    this.#client = client;
    this.#dedupMs = dedupMs;
    this.#events = events;
    this.#tokens = getBurstSize(settings);
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  update(settings: QueueSettings): void {
    this.#settings = settings;
    this.#tokens = Math.min(this.#tokens, getBurstSize(settings));
    this.#pump();
  }

  toWire(): WireQueue {
    return {
      name: this.name,
      state: this.#paused ? QueueState.PAUSED : QueueState.RUNNING,
      ...toWireSettings(this.#settings),
      ...(this.#purgedAt === undefined ? {} : { purgeTime: fromMillis(this.#purgedAt) }),
    };
  }

  add(task: CloudTask): void {
    if (this.tasks.has(task.name) || this.#isReserved(task.name)) {
      throw alreadyExists(
        this.tasks.has(task.name)
          ? 'Requested entity already exists'
          : 'The task cannot be created because a task with this name existed too recently.',
      );
    }
    this.tasks.set(task.name, task);
    this.#schedule(task, task.scheduledAt);
    this.#pump();
  }

  get(name: string): CloudTask {
    const task = this.tasks.get(name);
    if (task !== undefined) return task;
    throw notFound(
      this.#isReserved(name)
        ? 'The task no longer exists, though a task with this name existed recently.'
        : 'The task does not exist.',
    );
  }

  delete(name: string): void {
    this.#remove(this.get(name));
  }

  /** Dispatches a task immediately, even if the queue is paused or at its limits. */
  run(name: string): CloudTask {
    const task = this.get(name);
    task.scheduledAt = Date.now();
    this.#dispatch(task);
    return task;
  }

  purge(): void {
    this.#purgedAt = Date.now();
    for (const task of this.tasks.values()) this.#remove(task);
  }

  pause(): void {
    this.#paused = true;
    this.#pump();
  }

  resume(): void {
    this.#paused = false;
    this.#pump();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(task: CloudTask, at: number): void {
    task.scheduledAt = at;
    task.schedule += 1;
    this.#due.push(at, { task, schedule: task.schedule });
  }

  #remove(task: CloudTask): void {
    task.removed = true;
    this.tasks.delete(task.name);
    if (task.named && this.#dedupMs > 0) this.#reserved.set(task.name, Date.now() + this.#dedupMs);
  }

  #isReserved(name: string): boolean {
    const now = Date.now();
    for (const [reserved, until] of this.#reserved) {
      if (until > now) break;
      this.#reserved.delete(reserved);
    }
    return this.#reserved.has(name);
  }

  /** Dispatches all due tasks that the limits allow, and sets the timer for the rest. */
  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#paused) return;
    const now = Date.now();
    this.#refill(now);
    for (;;) {
      const next = this.#due.peek();
      if (next === undefined) return;
      const { task, schedule } = next.value;
      if (task.removed || task.schedule !== schedule) {
        this.#due.pop();
        continue;
      }
      if (this.#inFlight >= this.#settings.maxConcurrentDispatches) return; // the next response pumps again
      const wait = Math.max(next.due - now, this.#tokenWait());
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.min(Math.ceil(wait), maxTimerMs));
        return;
      }
      this.#due.pop();
      this.#tokens -= 1;
      this.#dispatch(task);
    }
  }

  #refill(now: number): void {
    const refill = ((now - this.#refilledAt) / 1000) * this.#settings.maxDispatchesPerSecond;
    this.#tokens = Math.min(getBurstSize(this.#settings), this.#tokens + refill);
    this.#refilledAt = now;
  }

  #tokenWait(): number {
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / this.#settings.maxDispatchesPerSecond) * 1000;
  }

  #dispatch(task: CloudTask): void {
    const now = Date.now();
    task.schedule += 1; // voids the heap entry until the attempt has ended
    task.dispatches += 1;
    task.firstDispatchAt ??= now;
    const attempt: DispatchAttempt = { scheduledAt: task.scheduledAt, dispatchedAt: now };
    task.lastAttempt = attempt;
    this.#inFlight += 1;
    void this.#attempt(task, attempt);
  }

  async #attempt(task: CloudTask, attempt: DispatchAttempt): Promise<void> {
    const { code, message, httpStatus } = await this.#client.call(task, this.#id);
    this.#inFlight -= 1;
    if (this.#closed) return;
    const now = Date.now();
    Object.assign(attempt, { respondedAt: now, code, message });
    if (httpStatus !== undefined) {
      task.responses += 1;
      if (httpStatus < 500) task.executions += 1;
    }
    if (!task.removed) {
      if (code === status.OK) this.#remove(task);
      else this.#retry(task, now);
    }
    this.#pump();
  }

  #retry(task: CloudTask, now: number): void {
    const delay = getRetryDelay(this.#settings, task.dispatches, now - (task.firstDispatchAt ?? now));
    if (delay !== undefined) {
      this.#schedule(task, now + delay);
    } else {
      this.#remove(task);
      this.#events.abandoned(task);
    }
  }
}
