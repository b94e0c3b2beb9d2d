/**
 * The failed calls of the model since its last response, and when to give up. They are recorded as results of
 * `model` steps, so that the wait survives workers, and so that the tokens of cut streams are counted. An
 * overload is recorded once and then waited for without further records. Pure.
 */
import type { JsonObject } from '#shared/domain/message.ts';
import { backoffSeconds, getLongestOutageDelay } from '#shared/domain/backoff.ts';

/** The result of a `model` step that got no response. */
export type FailedCall = {
  failed: {
    /**
     * `overload`: the model is busy. `oversized`: the model refused this request for lack of quota while it
     * answered smaller ones. `outage`: anything else that may pass.
     */
    kind: 'overload' | 'oversized' | 'outage';
    /** An ISO 8601 time. */
    at: string;
    message: string;
    /** The model's own words. */
    detail: string;
    /** How long the task is parked, in milliseconds. */
    parkMs: number;
  };
  /** Token counts of the streams that were cut, as in a response. */
  usage: JsonObject;
  ms: number;
};

type Failure = FailedCall['failed'];

/** A bound in addition to the time, for long windows. */
const maxOutages = 100;
const maxOversized = 5;
const firstSeconds = 20;

export class Stall {
  readonly #model: string;
  readonly #windowMs: number;
  readonly #failures: Failure[] = [];

  /** @param outageSeconds how long an outage may last */
  constructor(model: string, outageSeconds: number) {
    this.#model = model;
    this.#windowMs = outageSeconds * 1000;
  }

  add(failure: Failure): void {
    this.#failures.push(failure);
  }

  get waiting(): boolean {
    return this.#failures.length > 0;
  }

  /** The time of the first failure; undefined: none. */
  get since(): string | undefined {
    return this.#failures[0]?.at;
  }

  /** True if the last call failed otherwise than by an overload. It is then not repeated in place. */
  get inOutage(): boolean {
    return this.#failures.at(-1)?.kind === 'outage';
  }

  /** When the model last refused this request, as far as recorded. */
  get refusedAt(): Date | undefined {
    const refusal = this.#failures.findLast(({ kind }) => kind !== 'outage');
    return refusal && new Date(refusal.at);
  }

  /**
   * Returns how long to park after one more failed call in an outage, in milliseconds: 20 s, later a
   * twelfth of the outage, and never past the end of the window, so that the last call is made there.
   */
  getOutageParkMs(now: number, random: number): number {
    const outages = this.#outages;
    const from = outages[0] === undefined ? now : Date.parse(outages[0].at);
    const longestSeconds = getLongestOutageDelay((now - from) / 1000);
    const ownMs = 1000 * backoffSeconds(outages.length + 1, random, { firstSeconds, longestSeconds });
    return Math.max(0, Math.min(ownMs, from + this.#windowMs - now));
  }

  /** Returns the message with which the task fails, or undefined if it waits. */
  giveUp(): string | undefined {
    const last = this.#failures.at(-1);
    if (last === undefined) return undefined;
    const oversized = this.#failures.filter(({ kind }) => kind === 'oversized').length;
    if (oversized >= maxOversized) {
      return `The model refused this request ${oversized} times while it answered smaller ones: ${last.detail}`;
    }
    const outages = this.#outages;
    const [first] = outages;
    if (first === undefined || last.kind !== 'outage') return undefined;
    const exceeded = Date.parse(last.at) - Date.parse(first.at) >= this.#windowMs;
    if (!exceeded && outages.length < maxOutages) return undefined;
    return outages.length === 1
      ? last.message
      : `The model ${this.#model} has failed ${outages.length} times since ${first.at}. Last error: ${last.message}`;
  }

  /**
   * Returns the status message for clients, or undefined if the last failure changes nothing about it.
   *
   * @param replaced the status has been replaced since the failure before
   */
  describe(replaced: boolean): string | undefined {
    const [before, last] = [this.#failures.at(-2), this.#failures.at(-1)];
    if (last === undefined || (!replaced && before?.message === last.message)) return undefined;
    return `Waiting for the model ${this.#model} since ${this.since}: ${last.message}`;
  }

  get #outages(): Failure[] {
    return this.#failures.filter(({ kind }) => kind === 'outage');
  }
}
