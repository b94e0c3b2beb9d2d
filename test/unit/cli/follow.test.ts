/** A task that is followed over broken connections: each connection starts with the task. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Agent } from '#services/cli/agent/connect.ts';
import { followTask, replayExtension } from '#services/cli/agent/follow.ts';
import type { StreamEventJson, TaskJson } from '#services/cli/agent/json.ts';
import type { TaskState } from '#shared/domain/task.ts';

const { signal } = new AbortController();

const createTask = (event: number, state: TaskState = 'TASK_STATE_WORKING'): StreamEventJson => ({
  task: { id: 't', status: { state }, metadata: { [replayExtension]: { event } } },
});
const createStatus = (event: number, state: TaskState): StreamEventJson => ({
  statusUpdate: {
    taskId: 't',
    contextId: 'c',
    status: { state, timestamp: '2030-01-01T00:00:00.000Z' },
    metadata: { [replayExtension]: { event } },
  },
});

function withoutNumber({ task, statusUpdate }: StreamEventJson): StreamEventJson {
  return {
    ...(task && { task: { ...task, metadata: {} } }),
    ...(statusUpdate && { statusUpdate: { ...statusUpdate, metadata: {} } }),
  };
}

/** @param streams the events of each connection, which then breaks */
async function follow(streams: StreamEventJson[][], hasReplay: boolean): Promise<string[]> {
  const left = hasReplay ? [...streams] : streams.map((events) => events.map(withoutNumber));
  const agent = {
    card: { capabilities: { streaming: true } },
    supports: () => hasReplay,
    get: async () => left[0]?.[0]?.task as TaskJson,
    subscribe: async function* subscribe() {
      const events = left.shift() ?? [];
      yield* hasReplay ? events : events.slice(1);
    },
  } as unknown as Agent;
  const seen: string[] = [];
  for await (const event of followTask(agent, 't', { signal })) seen.push(Object.keys(event).join());
  return seen;
}

describe('a task that is followed', () => {
  for (const hasReplay of [true, false]) {
    test(`is yielded once, ${hasReplay ? 'with' : 'without'} replay`, async () => {
      const seen = await follow(
        [
          [createTask(1), createStatus(2, 'TASK_STATE_WORKING')],
          [hasReplay ? createTask(2) : createTask(1), createStatus(3, 'TASK_STATE_COMPLETED')],
        ],
        hasReplay,
      );
      assert.deepEqual(seen, ['task', 'statusUpdate', 'statusUpdate']);
    });
  }

  test('is yielded again if it has changed meanwhile', async () => {
    assert.deepEqual(await follow([[createTask(1)], [createTask(4, 'TASK_STATE_COMPLETED')]], true), [
      'task',
      'task',
    ]);
  });
});
