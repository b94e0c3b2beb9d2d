/** When sets of new tasks are stored without a look for repeated messages. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRepeatGuard } from '#shared/db/tasks/accept/repeats.ts';

describe('a guard of repeats', () => {
  const repeat = Object.assign(new Error('duplicate key'), { code: '23505', table: 'sends' });

  /** A store that has a repeat in the sets of these numbers, counted from 0. Records whether each run looks for them. */
  function createStore(repeats: readonly number[]) {
    const runs: boolean[] = [];
    let set = -1;
    let now = 0;
    const guard = createRepeatGuard(() => now);
    const store = () => {
      set += 1;
      const hasRepeat = repeats.includes(set);
      return guard(async (look) => {
        runs.push(look);
        if (hasRepeat && !look) throw repeat;
        return set;
      });
    };
    return { runs, store, wait: (ms: number) => (now += ms) };
  }

  test('stores sets without a look until one has a repeat, which is stored again', async () => {
    const { runs, store } = createStore([1]);
    assert.deepEqual([await store(), await store()], [0, 1]);
    assert.deepEqual(runs, [false, false, true]);
  });

  test('looks first for a minute after a repeat', async () => {
    const { runs, store, wait } = createStore([0, 1]);
    await store();
    wait(59_999);
    await store();
    wait(1);
    await store();
    assert.deepEqual(runs, [false, true, true, false]);
  });

  test('passes other errors on', async () => {
    const guard = createRepeatGuard();
    const other = Object.assign(new Error('duplicate key'), { code: '23505', table: 'tasks' });
    let runs = 0;
    const store = () => {
      runs += 1;
      return Promise.reject(other);
    };
    await assert.rejects(guard(store), other);
    assert.equal(runs, 1);
  });
});
