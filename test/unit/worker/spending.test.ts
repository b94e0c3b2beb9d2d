/** The check of what a task and its owner have spent, before a model call of an agent in code. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OwnerLimitError } from '#shared/domain/errors.ts';
import { createSpendingCheck } from '#services/worker/turn/spending.ts';

describe('the check of spending', () => {
  const createCheck = (limits: Record<string, number>, checkCost: () => Promise<void>) =>
    createSpendingCheck({
      owner: 'key:alice',
      definition: { limits },
      checkCost,
      spentToday: async () => ({ tokens: 0, cost: 60 }),
      usage: () => undefined,
    });
  const atLimit = async (): Promise<void> => {
    throw new OwnerLimitError('Waiting', new Date());
  };

  test('lets a turn wait at both limits of its owner', async () => {
    await assert.rejects(createCheck({ ownerCostPerDay: 50 }, atLimit)(), OwnerLimitError);
  });

  test('fails a task at the limit of the agent', async () => {
    const check = createCheck({ ownerCostPerDay: 50 }, async () => undefined);
    await assert.rejects(check(), /at its limit of a cost of 50 per day for all tasks of one owner/);
    await createCheck({ ownerCostPerDay: 70 }, async () => undefined)();
  });
});
