/** Checks that the limits of a definition and of an owner leave room for another model call of an agent in code. */
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { ReadSpentToday } from '#shared/db/models/ledger.ts';
import type { CheckCost } from '#shared/db/owners/cost.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { noUsage, totalTokens, type Usage } from '#shared/domain/usage.ts';

export interface SpendingParts {
  owner: string;
  /** The stored definition of the task. */
  definition: JsonObject;
  /** Throws an OwnerLimitError if the owner's cost limit is reached. */
  checkCost: CheckCost;
  /** Reads the spending of an owner since midnight UTC. */
  spentToday: ReadSpentToday;
  /** Returns the usage of the whole task so far. */
  usage: () => Usage | undefined;
}

/** Returns `turn.checkSpending`. */
export function createSpendingCheck(parts: SpendingParts): () => Promise<void> {
  const { owner, definition, checkCost, spentToday, usage } = parts;
  const { limits = {} } = definition as { limits?: Partial<AgentDefinition['limits']> };
  return async () => {
    const { tokens, cost } = usage() ?? noUsage;
    checkLimits({ tokens: totalTokens(tokens), cost }, limits.tokens, limits.cost, '');
    // First, as for Gemini agents: a turn at both limits of its owner waits.
    await checkCost(owner);
    const { ownerTokensPerDay, ownerCostPerDay } = limits;
    if (ownerTokensPerDay !== undefined || ownerCostPerDay !== undefined) {
      const scope = ' per day for all tasks of one owner';
      checkLimits(await spentToday(owner), ownerTokensPerDay, ownerCostPerDay, scope);
    }
  };
}

function checkLimits(
  spent: { tokens: number; cost: number },
  tokens: number | undefined,
  cost: number | undefined,
  scope: string,
): void {
  if (tokens !== undefined && spent.tokens >= tokens) throw createLimitError(`${tokens} tokens${scope}`);
  if (cost !== undefined && spent.cost >= cost) throw createLimitError(`a cost of ${cost}${scope}`);
}

/** @param limit as clients read it: `20 model calls` */
export function createLimitError(limit: string): FatalError {
  return new FatalError(`The turn was stopped at its limit of ${limit}. The output produced so far is kept.`);
}
