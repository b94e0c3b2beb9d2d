/**
 * A queue: its tasks, and when each is dispatched.
 *
 *   created ──due, running, below both limits──▶ dispatched ──2xx──▶ gone (executed)
 *      ▲                                             │
 *      └──── retry after a backoff ◀── other ────────┴── attempts spent ──▶ gone (given up)
 *
 * There is no polling: one timer stands at the earliest time at which anything can be dispatched. A task name stays used
 * for a while after its task is gone.
 */
import { status } from '@grpc/grpc-js';
import { DueHeap } from './due-heap.ts';
import { burstOf, retryDelay, writeSettings, type QueueSettings } from './settings.ts';
import { alreadyExists, notFound } from './status.ts';
import type { Targets } from './target.ts';
import type { Attempt, Task } from './task.ts';
import { fromMillis, QueueState, type WireQueue } from './wire.ts';

const longestTimer = 86_400_000; // setTimeout itself takes at most 24.8 days

export interface QueueEvents {
  /** A task has used up its attempts. */
  givenUp(task: Task): void;
}

export class TaskQueue {
  readonly name: string;
  readonly tasks = new Map<string, Task>();
  readonly #id: string;
  readonly #targets: Targets;
  readonly #events: QueueEvents;
  readonly #dedupMs: number;
  readonly #due = new DueHeap<{ task: Task; schedule: number }>();
  /** Names of tasks that are gone, with the time until which they are refused, oldest first. */
  readonly #used = new Map<string, number>();
  #settings: QueueSettings;
  #paused = false;
  #closed = false;
  #purgedAt: number | undefined;
  #inFlight = 0;
  #tokens: number;
  #refilledAt = Date.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(name: string, settings: QueueSettings, targets: Targets, dedupMs: number, events: QueueEvents) {
    this.name = name;
    this.#id = name.slice(name.lastIndexOf('/') + 1);
    this.#settings = settings;
    this.#targets = targets;
    this.#dedupMs = dedupMs;
    this.#events = events;
    this.#tokens = burstOf(settings);
  }

  get settings(): QueueSettings {
    return this.#settings;
  }

  update(settings: QueueSettings): void {
    this.#settings = settings;
    this.#tokens = Math.min(this.#tokens, burstOf(settings));
    this.#pump();
  }

  write(): WireQueue {
    return {
      name: this.name,
      state: this.#paused ? QueueState.PAUSED : QueueState.RUNNING,
      ...writeSettings(this.#settings),
      ...(this.#purgedAt === undefined ? {} : { purgeTime: fromMillis(this.#purgedAt) }),
    };
  }

  add(task: Task): void {
    if (this.tasks.has(task.name) || this.#isUsed(task.name)) {
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

  get(name: string): Task {
    const task = this.tasks.get(name);
    if (task !== undefined) return task;
    throw notFound(
      this.#isUsed(name)
        ? 'The task no longer exists, though a task with this name existed recently.'
        : 'The task does not exist.',
    );
  }

  delete(name: string): void {
    this.#remove(this.get(name));
  }

  /** Dispatches a task now, whatever the state and the limits of the queue. */
  run(name: string): Task {
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

  #schedule(task: Task, at: number): void {
    task.scheduledAt = at;
    task.schedule += 1;
    this.#due.push(at, { task, schedule: task.schedule });
  }

  #remove(task: Task): void {
    task.gone = true;
    this.tasks.delete(task.name);
    if (task.named && this.#dedupMs > 0) this.#used.set(task.name, Date.now() + this.#dedupMs);
  }

  #isUsed(name: string): boolean {
    const now = Date.now();
    for (const [used, until] of this.#used) {
      if (until > now) break;
      this.#used.delete(used);
    }
    return this.#used.has(name);
  }

  /** Dispatches what is due and allowed, and sets the timer for the rest. */
  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#paused) return;
    const now = Date.now();
    this.#refill(now);
    for (;;) {
      const next = this.#due.peek();
      if (next === undefined) return;
      const { task, schedule } = next.value;
      if (task.gone || task.schedule !== schedule) {
        this.#due.pop();
        continue;
      }
      if (this.#inFlight >= this.#settings.maxConcurrentDispatches) return; // the next answer pumps again
      const wait = Math.max(next.due - now, this.#tokenWait());
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.min(Math.ceil(wait), longestTimer));
        return;
      }
      this.#due.pop();
      this.#tokens -= 1;
      this.#dispatch(task);
    }
  }

  #refill(now: number): void {
    const gained = ((now - this.#refilledAt) / 1000) * this.#settings.maxDispatchesPerSecond;
    this.#tokens = Math.min(burstOf(this.#settings), this.#tokens + gained);
    this.#refilledAt = now;
  }

  #tokenWait(): number {
    return this.#tokens >= 1 ? 0 : ((1 - this.#tokens) / this.#settings.maxDispatchesPerSecond) * 1000;
  }

  #dispatch(task: Task): void {
    const now = Date.now();
    task.schedule += 1; // out of the heap until the attempt has ended
    task.dispatches += 1;
    task.firstDispatchAt ??= now;
    const attempt: Attempt = { scheduledAt: task.scheduledAt, dispatchedAt: now };
    task.last = attempt;
    this.#inFlight += 1;
    void this.#attempt(task, attempt);
  }

  async #attempt(task: Task, attempt: Attempt): Promise<void> {
    const { code, message, httpStatus } = await this.#targets.call(task, this.#id);
    this.#inFlight -= 1;
    if (this.#closed) return;
    const now = Date.now();
    Object.assign(attempt, { respondedAt: now, code, message });
    if (httpStatus !== undefined) {
      task.responses += 1;
      if (httpStatus < 500) task.executions += 1;
    }
    if (!task.gone) {
      if (code === status.OK) this.#remove(task);
      else this.#retry(task, now);
    }
    this.#pump();
  }

  #retry(task: Task, now: number): void {
    const delay = retryDelay(this.#settings, task.dispatches, now - (task.firstDispatchAt ?? now));
    if (delay !== undefined) {
      this.#schedule(task, now + delay);
    } else {
      this.#remove(task);
      this.#events.givenUp(task);
    }
  }
}
