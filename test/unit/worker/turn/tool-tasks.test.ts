/** The wait of a turn for a task of an MCP server: its polls, and how it ends. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RetryableError } from '#shared/domain/errors.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { AgentWait } from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { CallResult } from '#services/worker/agent/agent.ts';
import type { RemoteToolTask } from '#services/worker/agent/mcp/tasks/open.ts';
import { ToolTasks, type ToolTasksParts } from '#services/worker/turn/calls/tool-tasks.ts';
import { TurnRecord } from '#services/worker/turn/record.ts';
import type { OpenWait, Waits } from '#services/worker/turn/waits.ts';

const working: RemoteToolTask = { state: 'TASK_STATE_WORKING', message: [], artifacts: [] };
const away = new RetryableError('away');

/** A turn that waits for a task whose polls answer in order, with the pauses between them. */
function follow(polls: (RemoteToolTask | Error | undefined)[], ageSeconds = 0) {
  const log: string[] = [];
  const asks: AgentWait[] = [];
  const records: CallResult[] = [];
  const record = new TurnRecord([]);
  const open = { since: new Date(databaseNow() - ageSeconds * 1000), dueAt: 0 } as OpenWait;
  const waits = {
    reach: (name: string) => record.reach(name, null),
    open: async (
      _identity: unknown,
      _earlier: unknown,
      { wait, dueInSeconds }: { wait: AgentWait; dueInSeconds: number },
    ) => {
      log.push(`${wait.agent} ${wait.task} in ${dueInSeconds}`);
      return open;
    },
    run: <T>(operation: () => Promise<T>) => operation(),
    untilDue: async () => undefined,
    reopen: (_wait: OpenWait, ms: number) => void log.push(`again in ${Math.round(ms / 1000)}`),
    close: () => void log.push('closed'),
  };
  const toolTasks = new ToolTasks({
    held: { lease: { taskId: uuidv7(), turn: 1, fence: 1 }, signal: new AbortController().signal },
    waits: waits as unknown as Waits,
    store: async () => undefined,
    replace: async (_step: unknown, { wait }: { wait: AgentWait }) => void asks.push(wait),
    record: async (_step: unknown, result: CallResult) => void records.push(result),
    mcpServers: { it: {} },
    openToolTasks: async () => ({
      get: async () => {
        const answer = polls.shift();
        if (answer instanceof Error) throw answer;
        return answer;
      },
      cancel: async () => void log.push('cancel'),
    }),
  } as unknown as ToolTasksParts);
  const options = { server: 'it', taskId: 't1', timeoutSeconds: 100, pollSeconds: 5 };
  return { run: async () => toolTasks.follow('task:convert#1', options), log, asks, records };
}

describe('a task of an MCP server', () => {
  test('is polled until it ends, not before its server suggests', async () => {
    const artifacts = [{ artifactId: 'result', parts: [{ data: { content: [] } }] }];
    const done: RemoteToolTask = { ...working, state: 'TASK_STATE_COMPLETED', artifacts };
    const { run, log, records } = follow([{ ...working, pollSeconds: 30 }, working, done]);
    const result = await run();
    assert.deepEqual([result.status, result.artifacts], ['completed', artifacts]);
    assert.deepEqual(log, ['mcp:it t1 in 5', 'again in 30', 'again in 2', 'closed']);
    assert.deepEqual(records, [result]);
  });

  test('is remembered as one that asks while its question is open', async () => {
    const { run, asks } = follow([{ ...working, state: 'TASK_STATE_INPUT_REQUIRED' }]);
    assert.equal((await run()).status, 'input_required');
    assert.deepEqual(asks, [{ kind: 'agent', agent: 'mcp:it', task: 't1', asks: true }]);
  });

  test('is canceled when its time is over', async () => {
    for (const last of [working, away]) {
      const { run, log } = follow([last], 101);
      assert.equal((await run()).status, 'timed_out');
      assert.ok(log.includes('cancel'));
    }
  });

  test('fails if its server has forgotten it, and is waited for while that is away', async () => {
    assert.equal((await follow([undefined]).run()).status, 'failed');
    await assert.rejects(follow([away]).run(), away);
  });
});
