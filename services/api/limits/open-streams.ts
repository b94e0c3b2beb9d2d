/**
 * How many streams (and long polls) are open at once, for each caller and in this process. Whoever has more than they
 * may is refused; nobody's open stream is closed for another. Callers without a name share the limit of the process
 * alone, since they cannot be told apart.
 */
import type { User } from '@a2a-js/sdk/server';
import { TooManyRequestsError } from '../handler/errors.ts';

const retryAfterSeconds = 5;

export class OpenStreams {
  readonly #max: { all: number; perCaller: number };
  readonly #open = new Map<string, number>();
  #all = 0;

  constructor(max: { all: number; perCaller: number }) {
    this.#max = max;
  }

  /**
   * Counts a stream as open until the function that is returned is called; a second call of that does nothing.
   *
   * @throws {TooManyRequestsError}
   */
  open(user: User | undefined): () => void {
    const name = user?.isAuthenticated === true ? user.userName : undefined;
    const mine = name === undefined ? 0 : (this.#open.get(name) ?? 0);
    if (mine >= this.#max.perCaller) {
      throw new TooManyRequestsError(
        `You have ${mine} streams open, the most that a caller may have: close one first`,
        retryAfterSeconds,
      );
    }
    if (this.#all >= this.#max.all) {
      throw new TooManyRequestsError(
        'Too many streams are open for now: poll, or try again',
        retryAfterSeconds,
      );
    }
    this.#all += 1;
    if (name !== undefined) this.#open.set(name, mine + 1);
    let closed = false;
    return () => {
      if (closed) return;
      closed = true;
      this.#all -= 1;
      if (name === undefined) return;
      const left = (this.#open.get(name) ?? 1) - 1;
      if (left === 0) this.#open.delete(name);
      else this.#open.set(name, left);
    };
  }
}
