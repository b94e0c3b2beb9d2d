/**
 * The waits of one turn for its partners: a model, tools, servers. The status of the task says when one is silent, while
 * the call continues, and when the wait is over. Most calls end earlier and write nothing.
 *
 *   call ──20 s without a sign──▶ "Waiting for the model … since …" ──a sign, or the result──▶ "Waited 45 s for the model …"
 *                                                                  └──the call fails──▶ what follows has its own status
 */
import type { WaitingTurn } from '#shared/db/outbox/wake.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { Turn } from './agent.ts';
import type { ParkedTurns } from './parked-turns.ts';

/** The length of the first wait after a failed call, and less than a file may take. */
export const defaultSilenceMs = 20_000;

export interface PartnerWait {
  /** The partner as clients read it, such as `the model gemini-3.8-flash`. */
  partner: string;
  /** Why, as a sentence. Default: it is silent. */
  reason?: string;
  /** Since when, if earlier calls have failed, as an ISO 8601 time. Default: since the last sign. */
  since?: string | undefined;
}

interface Named extends PartnerWait {
  since: string;
}

type WaitsTurn = Pick<Turn, 'taskId' | 'number' | 'progress'>;

/** Calls may run concurrently: the status then names all partners that are silent. */
export class PartnerWaits {
  readonly #turn: WaitsTurn;
  readonly #silenceMs: number;
  readonly #parked: ParkedTurns | undefined;
  readonly #named = new Set<Named>();
  #writing: Promise<void> = Promise.resolve();
  #messages = 0;

  /** @param silenceMs how long a partner may be silent before the status says so */
  constructor(turn: WaitsTurn, silenceMs: number, parked?: ParkedTurns) {
    this.#turn = turn;
    this.#silenceMs = silenceMs;
    this.#parked = parked;
  }

  /** How many status messages were written. */
  get messages(): number {
    return this.#messages;
  }

  /**
   * The turn is about to be parked because a partner is away.
   *
   * @param startedAt when it was called, by `performance.now()`
   */
  parked(partner: string, startedAt: number): void {
    this.#parked?.add(partner, this.#waiting, startedAt);
  }

  /** A partner has answered, so other turns need not wait for it. */
  answered(partner: string): void {
    this.#parked?.answered(partner, this.#waiting);
  }

  get #waiting(): WaitingTurn {
    return { taskId: this.#turn.taskId, turn: this.#turn.number };
  }

  /**
   * Makes a call of a partner.
   *
   * @param call is passed a function to call for each sign of the partner. That costs about a microsecond
   */
  async during<T>(wait: PartnerWait, call: (heard: () => void) => Promise<T>): Promise<T> {
    let named: Named | undefined;
    const timer = setTimeout(() => {
      const since = wait.since ?? new Date(databaseNow() - this.#silenceMs).toISOString();
      const entry: Named = { ...wait, since };
      named = entry;
      this.#named.add(entry);
      // Without the database, later.
      this.#write(this.#describe(), () => {
        if (this.#named.delete(entry)) timer.refresh();
      });
    }, this.#silenceMs);
    const end = (): void => {
      if (named === undefined || !this.#named.delete(named)) return;
      const seconds = Math.round((databaseNow() - Date.parse(named.since)) / 1000);
      this.#write(this.#named.size > 0 ? this.#describe() : `Waited ${seconds} s for ${wait.partner}.`);
    };
    try {
      const result = await call(() => {
        timer.refresh();
        end();
      });
      end();
      return result;
    } finally {
      clearTimeout(timer);
      if (named !== undefined) {
        this.#named.delete(named);
        await this.#writing;
      }
    }
  }

  #describe(): string {
    const lines = [...this.#named].map(
      ({ partner, since, reason = 'It is silent.' }) => `Waiting for ${partner} since ${since}: ${reason}`,
    );
    return [...new Set(lines)].join('\n');
  }

  #write(text: string, onFailure: () => void = () => undefined): void {
    this.#writing = this.#writing
      .then(() => this.#turn.progress(text))
      .then(() => void (this.#messages += 1), onFailure);
  }
}
