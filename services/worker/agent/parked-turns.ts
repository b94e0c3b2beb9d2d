/** The turns that this process has parked because a partner is away. They continue when the partner answers another turn. */
import type { WaitingTurn } from '#shared/db/outbox/wake.ts';
import { PartnerReturns } from '#shared/domain/outages/partner-returns.ts';

/** Makes turns due that wait for a partner. */
export type WakeTurns = (turns: readonly WaitingTurn[]) => void;

export class ParkedTurns {
  readonly #returns = new PartnerReturns<WaitingTurn>(() => performance.now());
  readonly #wake: WakeTurns;

  constructor(wake: WakeTurns) {
    this.#wake = wake;
  }

  add(partner: string, turn: WaitingTurn): void {
    this.#returns.failed(partner, turn.taskId, turn, Infinity);
  }

  answered(partner: string, { taskId }: WaitingTurn): void {
    this.#returns.ended(partner, taskId);
    const turns = this.#returns.answered(partner);
    if (turns.length > 0) this.#wake(turns);
  }
}
