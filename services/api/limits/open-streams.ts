/**
 * Counts the calls that are held open (streams, long polls and waiting sends), and limits them per caller and in this
 * process. They end when the credential of their caller does. A caller at its limit is refused; an open call is never
 * closed in favour of another. Callers without a name cannot be distinguished, so only the limit of the process applies
 * to them.
 */
import type { User } from '@a2a-js/sdk/server';
import type { AuthenticatedCaller } from '../auth/caller.ts';
import { TooManyRequestsError } from '../handler/errors.ts';
import { countRefusal } from './refusals.ts';

type HeldCaller = User & Pick<AuthenticatedCaller, 'credential'>;

const retryAfterSeconds = 5;

export class OpenStreams {
  readonly #max: { all: number; perCaller: number };
  readonly #open = new Map<string, number>();
  #all = 0;

  constructor(max: { all: number; perCaller: number }) {
    this.#max = max;
  }

  /**
   * Counts a call as open until the returned function is called. Calling it again does nothing.
   *
   * @param onEnd called if the credential of the caller ends earlier
   * @throws {TooManyRequestsError} at either limit
   */
  open(user: HeldCaller | undefined, onEnd: () => void): () => void {
    const name = getName(user);
    if (this.#isCallerFull(name)) {
      countRefusal('open_calls', name);
      throw new TooManyRequestsError(
        `You have ${this.#max.perCaller} open streams and waiting calls, the most allowed per caller: close one first, or try again in ${retryAfterSeconds} s`,
        retryAfterSeconds,
      );
    }
    if (this.#all >= this.#max.all) {
      countRefusal('open_calls', name);
      throw new TooManyRequestsError(
        `Too many streams and waiting calls are open: poll, or try again in ${retryAfterSeconds} s`,
        retryAfterSeconds,
      );
    }
    return this.#add(user, onEnd);
  }

  /** Like `open`, but returns undefined at either limit, for a call that does not have to be held. */
  tryOpen(user: HeldCaller | undefined, onEnd: () => void): (() => void) | undefined {
    const name = getName(user);
    if (!this.#isCallerFull(name) && this.#all < this.#max.all) return this.#add(user, onEnd);
    countRefusal('open_calls', name);
    return undefined;
  }

  #isCallerFull(name: string | undefined): boolean {
    return name !== undefined && (this.#open.get(name) ?? 0) >= this.#max.perCaller;
  }

  #add(user: HeldCaller | undefined, onEnd: () => void): () => void {
    const name = getName(user);
    const release = user?.credential?.hold(onEnd);
    this.#all += 1;
    if (name !== undefined) this.#open.set(name, (this.#open.get(name) ?? 0) + 1);
    let closed = false;
    return () => {
      if (closed) return;
      closed = true;
      release?.();
      this.#all -= 1;
      if (name === undefined) return;
      const left = (this.#open.get(name) ?? 1) - 1;
      if (left === 0) this.#open.delete(name);
      else this.#open.set(name, left);
    };
  }
}

function getName(user: User | undefined): string | undefined {
  return user?.isAuthenticated === true ? user.userName : undefined;
}
