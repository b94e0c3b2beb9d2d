/** The turns that this process has parked because a partner is away. They continue when the partner answers another turn. */
import type { WaitingTurn } from '#shared/db/outbox/wake.ts';
import { PartnerReturns } from '#shared/domain/outages/partner-returns.ts';

/** Makes turns due that wait for a partner. */
export type WakeTurns = (turns: readonly WaitingTurn[]) => void;

/** A turn is released within this time after its partner failed. */
const releaseMs = 1_000;

export class ParkedTurns {
  readonly #returns = new PartnerReturns<WaitingTurn>(() => performance.now());
  readonly #wake: WakeTurns;

  constructor(wake: WakeTurns) {
    this.#wake = wake;
  }

  /** @param startedAt when the turn called the partner, by `performance.now()` */
  add(partner: string, turn: WaitingTurn, startedAt: number): void {
    const isBack = this.#returns.failed(partner, turn.taskId, turn, startedAt);
    if (isBack) setTimeout(() => this.#wake([turn]), releaseMs).unref();
  }

  answered(partner: string, { taskId }: WaitingTurn): void {
    this.#returns.ended(partner, taskId);
    const turns = this.#returns.answered(partner);
    if (turns.length > 0) this.#wake(turns);
  }
}
