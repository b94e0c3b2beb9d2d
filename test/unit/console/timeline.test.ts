/** The timeline, the list and the plots of the console, as functions of what the agent returns. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TaskSummary, Timeline } from '#shared/domain/views.ts';
import { applyEvents, mergePage } from '../../../console/lib/task-rows.ts';
import { applyPayload, noTask } from '../../../console/lib/task-stream.ts';
import { createTimeAxis } from '../../../console/lib/time-axis.ts';
import { createRows, getSpan, listWork } from '../../../console/lib/timeline-rows.ts';
import { createSeries, sumByName } from '../../../console/lib/usage-series.ts';

const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
const tokens = { prompt: 10, cached: 0, tool: 0, thoughts: 0, output: 5 };

const timeline: Timeline = {
  taskId: 't',
  contextId: 'c',
  state: 'TASK_STATE_WORKING',
  createdAt: at(0),
  statusAt: at(1),
  agent: 'a',
  turns: [
    {
      turn: 1,
      acceptedAt: at(0),
      attempts: [
        { fence: 1, worker: 'one', startedAt: at(1), endedAt: at(4), outcome: 'crashed' },
        { fence: 2, worker: 'two', startedAt: at(5) },
      ],
      steps: [
        {
          name: 'model',
          occurrence: 0,
          startedAt: at(1),
          endedAt: at(2),
          usage: { model: 'm', tokens, cost: 0.5 },
        },
        { name: 'tool:find', occurrence: 0, startedAt: at(2), endedAt: at(3) },
        { name: 'nap', occurrence: 0, startedAt: at(6), wait: { kind: 'sleep', dueAt: at(60) } },
      ],
    },
  ],
  events: [],
  deliveries: [{ webhook: 'w', event: 1, state: 'pending', attempts: 1, createdAt: at(2) }],
  cut: [],
};

describe('the rows of a timeline', () => {
  const rows = createRows(timeline);

  test('are turns, attempts and steps in the order of time, then webhooks', () => {
    assert.deepEqual(
      rows.map(({ label, kind }) => `${kind} ${label}`),
      [
        'turn Turn 1',
        'attempt Attempt 1',
        'model m',
        'tool find',
        'attempt Attempt 2',
        'wait nap',
        'delivery Webhook of event 1',
      ],
    );
  });

  test('show the attempt that died and the one that continued', () => {
    const attempts = rows.filter(({ kind }) => kind === 'attempt');
    assert.deepEqual(
      attempts.map(({ detail, tone, to }) => [detail, tone, to]),
      [
        ['one · its worker died', 'bad', 4000],
        ['two · running', 'active', undefined],
      ],
    );
  });

  test('offer a rerun from the steps of the turn that runs, and of no other', () => {
    const steps = rows.flatMap(({ step }) => (step === undefined ? [] : [step.name]));
    assert.deepEqual(steps, ['model', 'tool:find', 'nap']);
    const ended = createRows({ ...timeline, state: 'TASK_STATE_COMPLETED' });
    assert.ok(ended.every(({ step }) => step === undefined));
  });

  test('reach to now while something runs', () => {
    assert.deepEqual(getSpan(timeline, rows, 9000), { from: 0, to: 9000 });
    // Neither the wait nor the webhook that is pending is work.
    assert.deepEqual(listWork(rows, 9000).at(-1), { from: 5000, to: 9000 });
  });
});

describe('the axis of a timeline', () => {
  test('is linear without long gaps', () => {
    const axis = createTimeAxis({ from: 0, to: 1000 }, [{ from: 0, to: 1000 }]);
    assert.equal(axis.at(250), 0.25);
    assert.deepEqual(axis.folds, []);
  });

  test('folds days without work, and keeps the order of times', () => {
    const day = 86_400_000;
    const work = [
      { from: 0, to: 2000 },
      { from: day, to: day + 2000 },
    ];
    const axis = createTimeAxis({ from: 0, to: day + 2000 }, work);
    const [fold, ...more] = axis.folds;
    assert.deepEqual(more, []);
    assert.ok(fold !== undefined && fold.end - fold.start < 0.1);
    const positions = [0, 1000, 2000, day / 2, day, day + 1000, day + 2000].map((time) => axis.at(time));
    assert.deepEqual(
      positions,
      positions.toSorted((a, b) => a - b),
    );
    assert.equal(positions.at(-1), 1);
    for (const { position } of axis.ticks) assert.ok(position <= fold.start || position >= fold.end);
  });

  test('exists for a task that has just been accepted', () => {
    const axis = createTimeAxis({ from: 5, to: 5 }, []);
    assert.equal(axis.at(5), 0);
  });
});

describe('the list of tasks', () => {
  const row = (taskId: string, seconds: number): TaskSummary => ({
    taskId,
    contextId: 'c',
    state: 'TASK_STATE_WORKING',
    createdAt: at(0),
    statusAt: at(seconds),
    agent: 'a',
  });

  test('takes the new state from the feed, and never an older one', () => {
    const event = { contextId: 'c', event: 2, kind: 'state', state: 'TASK_STATE_COMPLETED' } as const;
    const { rows, changed } = applyEvents(
      [row('a', 5), row('b', 5)],
      [
        { ...event, taskId: 'a', at: at(6) },
        { ...event, taskId: 'b', at: at(4) },
        { ...event, taskId: 'new', at: at(7) },
      ],
    );
    assert.deepEqual(
      rows.map(({ state }) => state),
      ['TASK_STATE_COMPLETED', 'TASK_STATE_WORKING'],
    );
    assert.deepEqual(changed, ['a', 'b', 'new']);
  });

  test('has each task once after its first page was read again', () => {
    const merged = mergePage([row('c', 9), row('b', 8)], [row('b', 7), row('a', 6)]);
    assert.deepEqual(
      merged.map(({ taskId }) => taskId),
      ['c', 'b', 'a'],
    );
  });
});

describe('a streamed task', () => {
  const status = { state: 'TASK_STATE_WORKING', timestamp: at(1) } as const;
  const history = [{ messageId: 'm', role: 'ROLE_USER' as const, parts: [{ text: 'hi' }] }];
  const first = applyPayload(noTask, { task: { id: 't', contextId: 'c', status, history } });
  const chunk = (text: string, lastChunk: boolean) => ({
    artifactUpdate: {
      taskId: 't',
      contextId: 'c',
      artifact: { artifactId: 'a', parts: [{ text }] },
      append: true,
      lastChunk,
    },
  });

  test('grows by the chunks of its artifacts until the last one', () => {
    const second = applyPayload(first, chunk('one ', false));
    assert.ok(second.writing.has('a'));
    const third = applyPayload(second, chunk('two', true));
    assert.equal(third.task?.artifacts?.[0]?.parts[0]?.text, 'one two');
    assert.ok(!third.writing.has('a'));
  });

  test('keeps its history when a resumed stream starts without it', () => {
    const resumed = applyPayload(first, { task: { id: 't', contextId: 'c', status } });
    assert.deepEqual(resumed.task?.history, history);
  });
});

describe('the plots of usage', () => {
  const line = (day: string, name: string, cost: number) => ({
    day,
    name,
    calls: 1,
    tokens,
    cost,
    unpriced: 0,
  });
  const report = {
    since: '2026-11-01',
    until: '2026-11-03',
    lines: [line('2026-11-01', 'small', 1), line('2026-11-01', 'large', 4), line('2026-11-03', 'small', 2)],
  };

  test('stack the entries of each day, the largest at the top', () => {
    const { days, entries } = createSeries(report, 'cost');
    assert.deepEqual(days.length, 3);
    assert.deepEqual(
      entries.map(({ name, stacked }) => [name, stacked]),
      [
        ['large', [5, 0, 2]],
        ['small', [1, 0, 2]],
      ],
    );
  });

  test('count tokens and calls too, and add up the rest as other', () => {
    assert.deepEqual(createSeries(report, 'tokens').entries[0]?.values, [15, 0, 15]);
    const many = Array.from({ length: 9 }, (_, index) => line('2026-11-01', `m${index}`, index));
    const { entries } = createSeries({ ...report, lines: many }, 'cost');
    assert.deepEqual(entries.at(-1)?.name, 'other');
    assert.deepEqual(entries.at(-1)?.values[0], 0 + 1 + 2);
  });

  test('sum each entry over all days, the most costly first', () => {
    assert.deepEqual(
      sumByName(report.lines).map(({ name, usage }) => [name, usage.cost, usage.calls]),
      [
        ['large', 4, 1],
        ['small', 3, 2],
      ],
    );
  });
});
