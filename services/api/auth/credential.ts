/**
 * The life of a credential. Calls that are held open (streams, long polls, waiting sends) end when it does: a token when it
 * expires, an API key as well if it is removed from the configuration.
 */
import { databaseNow } from '#shared/runtime/clock.ts';
import { UnauthenticatedError } from './errors.ts';

/** The clock of the database may be corrected while a timer runs, and timers are limited to 2^31 ms. */
const maxTimerMs = 3_600_000;

export class Credential {
  readonly #expiresAt: number | undefined;
  readonly #expiredText: string;
  #ended: string | undefined;
  /** Created on first use: most calls are not held. */
  #held: Set<() => void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param expiresAt milliseconds since 1970, by the clock of the database; undefined: never
   * @param expiredText a message for clients, for example "The token has expired"
   */
  constructor(expiresAt: number | undefined, expiredText: string) {
    this.#expiresAt = expiresAt;
    this.#expiredText = expiredText;
  }

  /** @throws {UnauthenticatedError} if the credential has ended */
  check(): void {
    this.#expire();
    if (this.#ended !== undefined) throw new UnauthenticatedError(this.#ended);
  }

  /** Ends the credential before its time. @param reason a message for clients */
  end(reason: string): void {
    this.#ended ??= reason;
    clearTimeout(this.#timer);
    for (const onEnd of this.#held ?? []) onEnd();
    this.#held = undefined;
  }

  /** Calls `onEnd` when the credential ends, unless the returned function is called before. */
  hold(onEnd: () => void): () => void {
    this.#held ??= new Set();
    this.#held.add(onEnd);
    if (this.#held.size === 1) this.#startTimer();
    return () => {
      this.#held?.delete(onEnd);
      if (this.#held?.size === 0) clearTimeout(this.#timer);
    };
  }

  #startTimer(): void {
    if (this.#expiresAt === undefined) return;
    const left = Math.max(0, Math.min(this.#expiresAt - databaseNow(), maxTimerMs));
    this.#timer = setTimeout(() => {
      this.#expire();
      if (this.#ended === undefined) this.#startTimer();
    }, left);
    this.#timer.unref();
  }

  #expire(): void {
    const isOver = this.#expiresAt !== undefined && databaseNow() >= this.#expiresAt;
    if (isOver && this.#ended === undefined) this.end(this.#expiredText);
  }
}
