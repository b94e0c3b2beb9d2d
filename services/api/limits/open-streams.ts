/**
 * Limits the streams and long polls that are open at once, per caller and in this process. A caller at its
 * limit is refused; an open stream is never closed in favour of another. Callers without a name cannot be
 * distinguished, so only the limit of the process applies to them.
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
   * Counts a stream as open until the returned function is called. Calling it again does nothing.
   *
   * @throws {TooManyRequestsError} at either limit
   */
  open(user: User | undefined): () => void {
    const name = user?.isAuthenticated === true ? user.userName : undefined;
    const own = name === undefined ? 0 : (this.#open.get(name) ?? 0);
    if (own >= this.#max.perCaller) {
      throw new TooManyRequestsError(
        `You have ${own} open streams, the most allowed per caller: close one first`,
        retryAfterSeconds,
      );
    }
    if (this.#all >= this.#max.all) {
      throw new TooManyRequestsError(
        'Too many streams are open: poll, or try again later',
        retryAfterSeconds,
      );
    }
    this.#all += 1;
    if (name !== undefined) this.#open.set(name, own + 1);
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
