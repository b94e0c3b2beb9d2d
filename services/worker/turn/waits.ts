/**
 * The waits of a turn: steps that end at a time or by a call, while no worker runs the turn.
 *
 *   sleep, callback ─▶ recorded as open ─▶ awaited ──nothing else runs in the turn──▶ suspended: the turn is released
 *                                            │                                        until the first wait is due
 *                                            └──due within a second, or while the turn has other work──▶ ends here
 *
 * A wait counts as awaited from the first `then`, so that an agent can start one, do other work and await it later.
 */
import { randomBytes } from 'node:crypto';
import type { RecordedStep } from '#shared/db/turns/turn-content.ts';
import type { NewEvent, NewStep, NewWait, TurnRelease } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject, Message } from '#shared/domain/message.ts';
import { createCallbackUrl, maxWaitSeconds, type CallbackResult } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Callback, CallbackOptions } from '../agent/agent.ts';
import type { HeldLease } from './lease-heartbeat.ts';
import { createWaitsMessage, type DescribedWait } from './output/describe-waits.ts';
import { codeChanged, type ReachedStep, type StepIdentity } from './record.ts';

/** A wait that ends so soon is cheaper to hold than to put back. */
const holdMs = 1_000;
/** Bounds the clock error of `timeOut`, which the database decides. */
const retryMs = 50;
/** The longest delay that setTimeout accepts: 24.8 days. */
const maxTimerMs = 2 ** 31 - 1;
const defaultCallbackSeconds = 7 * 86_400;

export interface WaitParts {
  held: HeldLease;
  /** The count of signals at the claim of the turn. */
  signals: number;
  /** Enters the next step of this name. */
  reach: (name: string) => ReachedStep;
  /** Stores the wait as a step that has not finished. */
  store: (step: NewStep) => Promise<void>;
  timeOut: (step: StepIdentity) => Promise<CallbackResult | undefined>;
  createMessage: (text: string) => Message;
  createProgress: (message: Message) => NewEvent;
  /** Base URL of callbacks; undefined: there are none. */
  publicUrl: string | undefined;
}

export interface OpenWait extends DescribedWait {
  /** It was open when the turn was claimed, so clients know of it. */
  known: boolean;
  awaited: boolean;
}

/** A turn does nothing but wait. */
export class Suspension {
  readonly release: TurnRelease;
  constructor(release: TurnRelease) {
    this.release = release;
  }
}

export class Waits {
  readonly #parts: WaitParts;
  readonly #open = new Set<OpenWait>();
  /** Operations of the turn in flight. */
  #busy = 0;
  #checking = false;
  #isSuspended = false;
  readonly #suspension = Promise.withResolvers<Suspension>();

  constructor(parts: WaitParts) {
    this.#parts = parts;
  }

  /** Resolves when the turn has nothing to do but wait. */
  get suspended(): Promise<Suspension> {
    return this.#suspension.promise;
  }

  /** Runs an operation of the turn, which is not suspended meanwhile. */
  async run<T>(operation: () => Promise<T>): Promise<T> {
    // Code that was abandoned when the turn was suspended.
    if (this.#isSuspended) return new Promise(() => undefined);
    this.#busy += 1;
    try {
      return await operation();
    } finally {
      this.#busy -= 1;
      this.#check();
    }
  }

  /** @throws {FatalError} if the time is not valid, or the record of the turn has another step here */
  sleep(name: string, until: number | Date): PromiseLike<void> {
    const waitSeconds = typeof until === 'number' ? until : (until.getTime() - databaseNow()) / 1000;
    assertSeconds(`sleep("${name}")`, waitSeconds, typeof until === 'number' ? 0 : Number.NEGATIVE_INFINITY);
    const { identity, earlier } = this.reach(name, 'sleep');
    if (earlier?.finished === true) return awaitable(async () => undefined);
    const opened = this.open(identity, earlier, {
      wait: { kind: 'sleep' },
      dueInSeconds: Math.max(0, waitSeconds),
      token: null,
    });
    return awaitable(async () => {
      const wait = await opened;
      await this.untilDue(wait);
    });
  }

  /** @throws {FatalError} if an option is not valid, or the record of the turn has another step here */
  async callback(name: string, options: CallbackOptions = {}): Promise<Callback> {
    const { timeoutSeconds = defaultCallbackSeconds, schema } = options;
    assertSeconds(`callback("${name}"): timeoutSeconds`, timeoutSeconds, 0);
    const { publicUrl } = this.#parts;
    if (publicUrl === undefined) throw new FatalError(`callback("${name}"): the worker has no PUBLIC_URL.`);
    const { identity, earlier } = this.reach(name, 'callback');
    const token = earlier?.wait?.token ?? randomBytes(32).toString('base64url');
    const url = createCallbackUrl(publicUrl, token);
    if (earlier?.finished === true) {
      const result = earlier.output as CallbackResult;
      return { url, result: awaitable(async () => result) };
    }
    const wait = await this.open(identity, earlier, {
      wait: { kind: 'callback', ...(schema && { schema }) },
      dueInSeconds: timeoutSeconds,
      token,
    });
    return { url, result: awaitable(() => this.#callbackResult(wait)) };
  }

  /** @throws {FatalError} if the record of the turn has another step here */
  reach(name: string, kind: OpenWait['kind']): ReachedStep {
    const reached = this.#parts.reach(name);
    const { earlier } = reached;
    if (earlier !== undefined && earlier.wait?.wait.kind !== kind) {
      throw new FatalError(
        `The agent reached ${kind}("${name}"), but an earlier run of this turn had another step of this name here: ` +
          `${codeChanged}.`,
      );
    }
    return reached;
  }

  /** Opens a wait, and records it unless an earlier run has. */
  open(
    identity: StepIdentity,
    earlier: RecordedStep | undefined,
    wait: NewWait,
    { details, timeoutSeconds }: { details?: JsonObject; timeoutSeconds?: number } = {},
  ): Promise<OpenWait> {
    const recorded = earlier?.wait ?? undefined;
    const startedMsAgo = (recorded?.startedSecondsAgo ?? 0) * 1000;
    const open: OpenWait = {
      identity,
      kind: wait.wait.kind,
      details,
      since: new Date(databaseNow() - startedMsAgo),
      dueAt: performance.now() + (recorded ?? wait).dueInSeconds * 1000,
      endsAt:
        timeoutSeconds === undefined ? undefined : performance.now() + timeoutSeconds * 1000 - startedMsAgo,
      known: recorded !== undefined,
      awaited: false,
    };
    this.#open.add(open);
    return this.run(async () => {
      if (recorded === undefined) await this.#parts.store({ ...identity, output: null, wait });
      return open;
    });
  }

  async #callbackResult(wait: OpenWait): Promise<CallbackResult> {
    for (;;) {
      await this.untilDue(wait);
      const result = await this.run(() => this.#parts.timeOut(wait.identity));
      if (result !== undefined) return result;
      this.reopen(wait, retryMs);
    }
  }

  /** Forgets a wait that has ended before it was due. */
  close(wait: OpenWait): void {
    this.#open.delete(wait);
    this.#check();
  }

  /** Opens a wait again that was due. */
  reopen(wait: OpenWait, dueInMs: number): void {
    wait.dueAt = performance.now() + dueInMs;
    this.#open.add(wait);
  }

  /** Waits until a time in this process. Most waits never end here: the turn is suspended. */
  async untilDue(wait: OpenWait): Promise<void> {
    const { signal } = this.#parts.held;
    wait.awaited = true;
    this.#check();
    for (let leftMs; (leftMs = wait.dueAt - performance.now()) > 0;) {
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => reject(signal.reason as Error);
        if (signal.aborted) return abort();
        const end = (): void => {
          signal.removeEventListener('abort', abort);
          resolve();
        };
        const timer = setTimeout(end, Math.min(leftMs, maxTimerMs));
        timer.unref();
        signal.addEventListener('abort', abort, { once: true });
      });
    }
    this.#open.delete(wait);
    // Nothing but other waits may be left.
    this.#check();
  }

  /** Suspends the turn if it does nothing but wait. Looks twice, so that code between two operations can run. */
  #check(): void {
    if (this.#checking || this.#open.size === 0) return;
    this.#checking = true;
    setImmediate(() =>
      setImmediate(() => {
        this.#checking = false;
        const awaited = [...this.#open].filter((wait) => wait.awaited);
        if (this.#busy > 0 || awaited.length === 0) return;
        const leftMs = Math.min(...awaited.map(({ dueAt }) => dueAt)) - performance.now();
        if (leftMs <= holdMs) return;
        this.#isSuspended = true;
        this.#suspension.resolve(new Suspension(this.#createRelease(leftMs / 1000)));
      }),
    );
  }

  #createRelease(delaySeconds: number): TurnRelease {
    const open = [...this.#open].filter((wait) => wait.awaited);
    const { createProgress, createMessage } = this.#parts;
    return {
      kind: 'release',
      delaySeconds,
      countAttempt: false,
      signals: this.#parts.signals,
      error: null,
      ...(open.some(({ known }) => !known) && {
        announcement: createProgress(createWaitsMessage(open, createMessage)),
      }),
    };
  }
}

export function assertSeconds(what: string, seconds: number, min: number): void {
  if (seconds >= min && seconds <= maxWaitSeconds) return;
  throw new FatalError(
    `${what}: the wait must be a time within the next 366 days, or 0 to ${maxWaitSeconds} seconds.`,
  );
}

/** A promise whose work starts when it is first awaited. */
export function awaitable<T>(work: () => Promise<T>): PromiseLike<T> {
  let started: Promise<T> | undefined;
  // oxlint-disable-next-line unicorn/no-thenable -- awaiting it is its purpose
  return { then: (resolve, reject) => (started ??= work()).then(resolve, reject) };
}
