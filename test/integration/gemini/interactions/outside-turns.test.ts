/** Work on calls at Google outside of turns: they are polled, canceled and deleted for the tasks of all workers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StoredCall } from '#shared/db/models/stored-calls.ts';
import type { AbandonedModelWait } from '#shared/db/turns/waits/model-waits.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { Crash, MemoryTurn } from '../../../support/agents/memory-turn.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { definitionWithoutTools, useOfflineModel } from '../use-offline-model.ts';

const offline = useOfflineModel();
const definition = {
  ...definitionWithoutTools,
  model: { name: 'gemini-3.8-flash', api: 'interactions', background: 'always' },
};
const completed = { state: 'TASK_STATE_COMPLETED' };
const list = () => offline.model.interactions.list();

describe('a call that no turn waits for', () => {
  test('is canceled, and its usage counted', async () => {
    offline.model.script([{ match: 'hello', reactions: [{ delayMs: 60_000 }] }]);
    const first = new MemoryTurn({ message: 'hello', definition, crashAfter: 'interaction#1' });
    await assert.rejects(offline.createAgent().run(first), Crash);
    const prices = { 'gemini-3.8-flash': { input: 1, output: 1 } };
    const wait = {
      taskId: 'task-1',
      turn: 1,
      name: 'interaction-wait',
      occurrence: 0,
      model: 'gemini-3.8-flash',
      prices,
    };
    const usages: (ModelUsage | undefined)[] = [];
    let left: AbandonedModelWait[] = [
      { ...wait, interaction: 'unknown' },
      { ...wait, interaction: list()[0]!.id },
      { ...wait, interaction: null },
    ];
    offline.model.interactions.fail({ method: 'cancel', status: 500, times: 1 });
    const agent = offline.createAgent({
      abandoned: {
        everyMs: 5,
        read: async () => [...left],
        close: async (closed, usage) => {
          usages.push(usage);
          left = left.filter((each) => each !== closed);
        },
      },
    });
    await waitFor('the cancellation', () => left.length === 0);
    assert.equal(list()[0]!.status, 'cancelled');
    assert.deepEqual(
      usages.map((usage) => usage !== undefined && usage.cost! > 0),
      [false, true, false],
    );
    await agent.close!();
  });
});

describe('polls apart from turns', () => {
  test('report calls that have ended or are gone, and no others', async () => {
    offline.model.script([{ match: 'long', reactions: [{ delayMs: 60_000 }] }]);
    for (const message of ['hello', 'long']) {
      const turn = new MemoryTurn({ message, definition, crashAfter: 'interaction#1' });
      await assert.rejects(offline.createAgent().run(turn), Crash);
    }
    await waitFor('the first call', () => list()[0]!.status === 'completed');
    offline.model.interactions.fail({ method: 'get', status: 500, times: 1 });
    const due = [...list().map(({ id }) => id), 'gone'].map((interaction) => ({ token: 'any', interaction }));
    const reported = new Set<string>();
    let claims = 0;
    const agent = offline.createAgent({
      polls: {
        everyMs: 5,
        claim: async (limit) => {
          claims += 1;
          return due.slice(0, limit);
        },
        report: async ({ interaction }) => void reported.add(interaction),
      },
    });
    await waitFor('the reports', () => reported.size === 2 && claims > 3);
    assert.deepEqual(reported, new Set([list()[0]!.id, 'gone']));
    await agent.close!();
  });
});

describe('calls of removed tasks', () => {
  test('are canceled if they run', async () => {
    offline.model.script([{ match: 'hello', reactions: [{ delayMs: 60_000 }] }]);
    const turn = new MemoryTurn({ message: 'hello', definition, crashAfter: 'interaction#1' });
    await assert.rejects(offline.createAgent().run(turn), Crash);
    const [running] = list() as [ReturnType<typeof list>[number]];
    const left = [{ interaction: running.id, attempts: 1 }];
    const stored = { claim: async () => left.splice(0), forget: async () => undefined };
    const agent = offline.createAgent({
      stored: { ...stored, everyMs: 5, recordUndeleted: async () => false },
    });
    await waitFor('the deletion', () => list().length === 0);
    assert.equal(running.status, 'cancelled');
    await agent.close!();
  });

  test('are deleted at Google, and what cannot be deleted is recorded', async () => {
    const turn = new MemoryTurn({ message: 'hello', definition });
    assert.deepEqual(await offline.createAgent().run(turn), completed);
    offline.model.interactions.fail({ method: 'delete', status: 403, times: 1 });
    const interaction = list()[0]!.id;
    const tries: string[] = [];
    let left: StoredCall[] = [
      { interaction, attempts: 1 },
      { interaction: 'unknown', attempts: 1 },
      { interaction, attempts: 2 },
    ];
    const agent = offline.createAgent({
      stored: {
        everyMs: 5,
        claim: async () => left.splice(0),
        forget: async ({ interaction: id, attempts }) => void tries.push(`${id} deleted at ${attempts}`),
        recordUndeleted: async ({ attempts }, error) => {
          tries.push(`${error} at ${attempts}`);
          return true;
        },
      },
    });
    await waitFor('the tries', () => tries.length === 3);
    left = [];
    assert.deepEqual(tries, ['status 403 at 1', 'unknown deleted at 1', `${interaction} deleted at 2`]);
    assert.deepEqual(list(), []);
    await agent.close!();
  });
});
