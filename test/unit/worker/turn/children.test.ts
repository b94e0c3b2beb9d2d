/** The bounds of child tasks, and what their joins count. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ChildRow } from '#shared/db/children/join.ts';
import type { RecordedStep } from '#shared/db/turns/turn-content.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import { noUsage, type Usage } from '#shared/domain/usage.ts';
import { Children, type ChildParts } from '#services/worker/turn/children/children.ts';
import { TurnRecord } from '#services/worker/turn/record.ts';
import type { Waits } from '#services/worker/turn/waits.ts';

const call: Usage = { ...noUsage, calls: 1, cost: 2 };

/** A turn whose children have ended, after earlier runs that recorded `steps`. */
function createChildren(more: Partial<ChildParts> = {}, steps: RecordedStep[] = []) {
  const record = new TurnRecord(steps);
  const recorded: { output: unknown; used: readonly Usage[] }[] = [];
  const reach = (name: string) => record.reach(name, null);
  const children = new Children({
    parent: {
      taskId: uuidv7(),
      contextId: 'c',
      task: { owner: 'o', tenant: '', agentHash: 'h' },
      taskSeconds: undefined,
      hops: undefined,
    },
    limits: {},
    waits: { run: (work: () => Promise<unknown>) => work(), reach } as unknown as Waits,
    reach,
    usage: () => undefined,
    readDepth: async () => 0,
    checkRoom: async () => undefined,
    store: async () => undefined,
    awaitChildren: async () => ({ ended: 1, isOver: true }),
    readUsage: async () => [],
    postpone: async () => undefined,
    readChildren: async (_group, taskIds) =>
      taskIds.map((taskId): ChildRow => ({
        taskId,
        state: 'TASK_STATE_COMPLETED',
        usage: call,
        message: null,
        artifacts: null,
        complete: true,
      })),
    record: async (_step, output, used) => void recorded.push({ output, used }),
    ...more,
  });
  return { children, recorded };
}

const fails = (work: () => unknown, message: RegExp) =>
  assert.rejects(
    async () => work(),
    (error: Error) => error instanceof FatalError && message.test(error.message),
  );

describe('spawn', () => {
  test('refuses what is malformed or too much', async () => {
    const { children } = createChildren();
    await fails(() => children.spawn('a', 'text' as never), /^spawn\("a"\): messages must be a list/);
    await fails(() => children.spawn('a', [[{ txt: 'x' } as never]]), /messages\[0\]/);
    await fails(
      () => children.spawn('a', ['x'], { context: 'new' as never }),
      /context is "new": use "own" or/,
    );
    await fails(() => children.spawn('a', ['x'.repeat(9 * 2 ** 20)]), /they can have 8388608 together/);
    await children.spawn('a', Array<string>(9_999).fill('x'));
    await fails(
      () => children.spawn('a', ['x', 'x']),
      /would have 10001 children: it can start at most 10000/,
    );
  });

  test('refuses a sixth generation, and a task that has spent its limit', async () => {
    const deep = createChildren({ readDepth: async () => 5 });
    await fails(() => deep.children.spawn('a', ['x']), /a child of generation 5: only 5 generations/);
    const spent = createChildren({ usage: () => call, limits: { cost: 2 } });
    await fails(() => spent.children.spawn('a', ['x']), /has reached its limit of a cost of 2/);
    const tokens = createChildren({ usage: () => call, limits: { tokens: 10 } });
    assert.equal((await tokens.children.spawn('a', ['x'])).taskIds.length, 1);
  });
});

describe('join', () => {
  test('counts the usage of each child once, in this run and in a later one', async () => {
    const first = createChildren();
    const spawned = await first.children.spawn('a', ['x', 'y']);
    await first.children.join('some', spawned);
    await first.children.join('all', spawned);
    assert.deepEqual(
      first.recorded.map(({ used }) => used.length),
      [2, 0],
    );
    const step = { occurrence: 0, inputHash: null, finished: true, wait: null };
    const wait = { wait: { kind: 'children', group: spawned.group, needed: 2 } } as RecordedStep['wait'];
    const again = createChildren({}, [
      { ...step, name: 'a', position: 0, output: spawned },
      { ...step, name: 'some', position: 1, output: first.recorded[0]!.output, wait },
    ]);
    assert.deepEqual(await again.children.spawn('a', ['x', 'y']), spawned);
    await again.children.join('some', spawned);
    await again.children.join('all', spawned);
    assert.deepEqual(
      again.recorded.map(({ used }) => used.length),
      [0],
    );
  });

  test('fails while it waits when the task and its children have spent the limit', async () => {
    const due: number[] = [];
    const spent = [[call], [call, call, call]];
    const endsAt = performance.now() + 3_600_000;
    const { children } = createChildren({
      limits: { cost: 7 },
      usage: () => call,
      awaitChildren: async () => ({ ended: 0, isOver: false }),
      readUsage: async () => spent.shift() ?? [],
      postpone: async ({ wait }) => void due.push(wait!.dueInSeconds),
      waits: {
        run: (work: () => Promise<unknown>) => work(),
        reach: () => ({ identity: { name: 'all' }, earlier: undefined }),
        open: async (_identity: unknown, _earlier: unknown, { dueInSeconds }: { dueInSeconds: number }) => {
          due.push(dueInSeconds);
          return { endsAt };
        },
        untilDue: async () => undefined,
      } as unknown as Waits,
    });
    const spawned = { group: uuidv7(), taskIds: [uuidv7()] };
    await fails(
      () => children.join('all', spawned, { timeoutSeconds: 3_600 }),
      /^join\("all"\): the task and its children have reached the limit of a cost of 7/,
    );
    assert.deepEqual(due, [60], 'it looks again after a minute');
  });

  test('refuses options that are not valid, and children of others', async () => {
    const { children } = createChildren({ awaitChildren: async () => undefined });
    const spawned = { group: uuidv7(), taskIds: ['a', 'b'] };
    await fails(
      () => children.join('j', spawned, { need: 3 }),
      /need is 3: use "all", "any", or a number up to 2/,
    );
    await fails(() => children.join('j', spawned, { timeoutSeconds: -1 }), /^join\("j"\): timeoutSeconds/);
    await fails(() => children.join('j', [] as never), /children must be the result of spawn/);
    await fails(() => children.join('j', spawned), /this task has started no such children/);
  });
});
