/**
 * Enforces the limits of one turn and its task. A turn that runs again after a crash restores the budget from
 * its recorded steps. A later turn of the task starts from the tokens and cost that are recorded before it.
 */
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { totalTokens, type Usage } from '#shared/domain/usage.ts';

export class Budget {
  readonly #limits: AgentDefinition['limits'];
  #modelCalls = 0;
  #toolCalls = 0;
  #workMs = 0;

  constructor(limits: AgentDefinition['limits']) {
    this.#limits = limits;
  }

  /** @throws {LimitError} when the turn has no model calls left */
  takeModelCall(): void {
    this.#modelCalls += 1;
    if (this.#modelCalls > this.#limits.modelCalls) {
      throw new LimitError(`${this.#limits.modelCalls} model calls`);
    }
  }

  /**
   * @param spent by the whole task so far
   * @throws {LimitError} when its tokens or cost are used up
   */
  checkSpent(spent: Usage): void {
    const { tokens = Infinity, cost = Infinity } = this.#limits;
    if (totalTokens(spent.tokens) >= tokens) throw new LimitError(`${tokens} tokens`);
    if (spent.cost >= cost) throw new LimitError(`a cost of ${cost}`);
  }

  get limitsOwner(): boolean {
    const { ownerTokensPerDay, ownerCostPerDay } = this.#limits;
    return ownerTokensPerDay !== undefined || ownerCostPerDay !== undefined;
  }

  /**
   * @param spent by all tasks of the owner since midnight UTC
   * @throws {LimitError} when the owner's tokens or cost are used up
   */
  checkOwner(spent: { tokens: number; cost: number }): void {
    const { ownerTokensPerDay: tokens = Infinity, ownerCostPerDay: cost = Infinity } = this.#limits;
    const scope = 'per day for all tasks of one owner';
    if (spent.tokens >= tokens) throw new LimitError(`${tokens} tokens ${scope}`);
    if (spent.cost >= cost) throw new LimitError(`a cost of ${cost} ${scope}`);
  }

  /** @throws {LimitError} when the turn has no tool calls left */
  takeToolCalls(count: number): void {
    this.#toolCalls += count;
    if (this.#toolCalls > this.#limits.toolCalls)
      throw new LimitError(`${this.#limits.toolCalls} tool calls`);
  }

  spend(ms: number): void {
    this.#workMs += ms;
  }

  /** The longest time of a call in the background. */
  get backgroundSeconds(): number {
    return this.#limits.backgroundSeconds;
  }

  /** The longest time of a call in a batch. */
  get batchSeconds(): number {
    return this.#limits.batchSeconds;
  }

  /** @throws {LimitError} if a call in a batch has reached its limit at this age */
  checkBatch(ageSeconds: number): void {
    const { batchSeconds } = this.#limits;
    if (ageSeconds >= batchSeconds) throw new LimitError(`${batchSeconds} seconds for a call in a batch`);
  }

  /** Returns the message of the limit if a call in the background has reached it at this age. */
  findBackgroundLimit(ageSeconds: number): string | undefined {
    const { backgroundSeconds } = this.#limits;
    if (ageSeconds < backgroundSeconds) return undefined;
    return new LimitError(`${backgroundSeconds} seconds for a call in the background`).message;
  }

  /** Aborts, with a LimitError as its reason, when the working time is used up. */
  deadline(): AbortSignal & Disposable {
    const controller = new AbortController();
    const leftMs = Math.max(0, this.#limits.workSeconds * 1000 - this.#workMs);
    const timer = setTimeout(
      () => controller.abort(new LimitError(`${this.#limits.workSeconds} seconds of work`)),
      Math.min(leftMs, 2 ** 31 - 1),
    );
    return Object.assign(controller.signal, { [Symbol.dispose]: () => clearTimeout(timer) });
  }
}

/** The message is for clients and names the limit. */
export class LimitError extends Error {
  override readonly name = 'LimitError';
  constructor(limit: string) {
    super(`The turn was stopped at its limit of ${limit}. The output produced so far is kept.`);
  }
}
