/**
 * What a turn, and its task, may still spend. Filled again from the recorded steps when the turn runs again, or when a
 * later turn of the task does.
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

  /** @param spent by the whole task so far */
  takeModelCall(spent: Usage): void {
    const { tokens = Infinity, cost = Infinity } = this.#limits;
    if (totalTokens(spent.tokens) >= tokens) throw new LimitError(`${tokens} tokens`);
    if (spent.cost >= cost) throw new LimitError(`a cost of ${cost}`);
    this.#modelCalls += 1;
    if (this.#modelCalls > this.#limits.modelCalls) {
      throw new LimitError(`${this.#limits.modelCalls} calls of the model`);
    }
  }

  get limitsOwner(): boolean {
    const { ownerTokensPerDay, ownerCostPerDay } = this.#limits;
    return ownerTokensPerDay !== undefined || ownerCostPerDay !== undefined;
  }

  /** @param spent by all tasks of the owner today */
  checkOwner(spent: { tokens: number; cost: number }): void {
    const { ownerTokensPerDay: tokens = Infinity, ownerCostPerDay: cost = Infinity } = this.#limits;
    const of = 'a day for all tasks of one owner';
    if (spent.tokens >= tokens) throw new LimitError(`${tokens} tokens ${of}`);
    if (spent.cost >= cost) throw new LimitError(`a cost of ${cost} ${of}`);
  }

  takeToolCalls(count: number): void {
    this.#toolCalls += count;
    if (this.#toolCalls > this.#limits.toolCalls)
      throw new LimitError(`${this.#limits.toolCalls} tool calls`);
  }

  spend(ms: number): void {
    this.#workMs += ms;
  }

  /** Aborts, with a LimitError as its reason, when the time for work is used up. */
  deadline(): AbortSignal & Disposable {
    const controller = new AbortController();
    const left = Math.max(0, this.#limits.workSeconds * 1000 - this.#workMs);
    const timer = setTimeout(
      () => controller.abort(new LimitError(`${this.#limits.workSeconds} seconds of work`)),
      Math.min(left, 2 ** 31 - 1),
    );
    return Object.assign(controller.signal, { [Symbol.dispose]: () => clearTimeout(timer) });
  }
}

export class LimitError extends Error {
  override readonly name = 'LimitError';
  constructor(limit: string) {
    super(`The turn was stopped at its limit of ${limit}. What was made until then is kept.`);
  }
}
