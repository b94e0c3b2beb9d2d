/** The conversions between tools and tasks of MCP and those of A2A, without a service. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AgentCard } from '@a2a-js/sdk';
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { createApprovalPart, createApprovalRequest } from '#shared/agent/approval.ts';
import { uuidv7 } from '#shared/domain/ids.ts';
import type { Part } from '#shared/domain/message.ts';
import type { TaskState } from '#shared/domain/task.ts';
import { TooManyRequestsError } from '#services/api/handler/errors.ts';
import { createMcpFailure, hasStatus } from '#services/api/mcp/errors.ts';
import type { TaskJson } from '#services/api/mcp/protocol.ts';
import { TaskCalls } from '#services/api/mcp/tasks/calls.ts';
import { toAnswer } from '#services/api/mcp/tasks/input.ts';
import { toToolResult } from '#services/api/mcp/tasks/result.ts';
import { toLegacyTask, toMcpTask } from '#services/api/mcp/tasks/task.ts';
import type { Tasks } from '#services/api/mcp/tasks/tasks.ts';
import { readSkillArguments } from '#services/api/mcp/tools/arguments.ts';
import type { McpCall } from '#services/api/mcp/tools/calls.ts';
import { createSkillReader } from '#services/api/mcp/tools/list.ts';

function createTask(state: TaskState, parts: Part[] = [], ageSeconds = 0): TaskJson {
  const id = uuidv7(Date.now() - ageSeconds * 1000);
  const message = { messageId: 'm', role: 'ROLE_AGENT', parts } as const;
  return { id, contextId: 'c', status: { state, timestamp: new Date().toISOString(), message } };
}

describe('a task of MCP', () => {
  test('asks to be polled less often the older it is', () => {
    const poll = (ageSeconds: number): number =>
      toMcpTask(createTask('TASK_STATE_WORKING', [], ageSeconds), 60).pollIntervalMs;
    const intervals = [0, 30, 300, 1_800, 10_000].map(poll);
    assert.deepEqual(intervals, [1_000, 2_000, 5_000, 15_000, 60_000]);
  });

  test('is kept for the retention after its last change, or for ever', () => {
    const task = createTask('TASK_STATE_COMPLETED', [], 100);
    const { ttlMs } = toMcpTask(task, 60);
    assert.ok(ttlMs !== null && ttlMs >= 159_000 && ttlMs < 170_000, String(ttlMs));
    assert.equal(toMcpTask(task, 0).ttlMs, null);
    assert.equal(toLegacyTask(task, 0).ttl, null);
  });
});

describe('the result of a tool', () => {
  test('has media as content, and other small files as resources', () => {
    const parts: Part[] = [
      { raw: 'aQ==', mediaType: 'image/png' },
      { raw: 'YQ==', mediaType: 'audio/wav' },
      { raw: 'cA==', mediaType: 'application/pdf', filename: 'a b.pdf' },
    ];
    const task = createTask('TASK_STATE_COMPLETED', parts);
    const { content, structuredContent } = toToolResult(task);
    const uri = `task:${task.id}/2/a%20b.pdf`;
    assert.deepEqual(content, [
      { type: 'image', data: 'aQ==', mimeType: 'image/png' },
      { type: 'audio', data: 'YQ==', mimeType: 'audio/wav' },
      { type: 'resource', resource: { uri, blob: 'cA==', mimeType: 'application/pdf' } },
    ]);
    assert.equal((structuredContent as { files: unknown[] }).files.length, 3);
  });

  test('is an error for each state in which a task has not done its work', () => {
    const isError = (state: TaskState): unknown => toToolResult(createTask(state)).isError;
    const failed = ['TASK_STATE_FAILED', 'TASK_STATE_REJECTED', 'TASK_STATE_CANCELED'] as const;
    assert.deepEqual(failed.map(isError), [true, true, true]);
    assert.deepEqual(
      [isError('TASK_STATE_COMPLETED'), isError('TASK_STATE_WORKING')],
      [undefined, undefined],
    );
  });

  test('shows approvals apart from the content', () => {
    const request = createApprovalRequest('1.1.1', 'cancel_order', { order: '1002' });
    const task = createTask('TASK_STATE_AUTH_REQUIRED', [
      { text: 'Approve?' },
      createApprovalPart([request]),
    ]);
    const { content, structuredContent } = toToolResult(task);
    // The question and the next step.
    assert.deepEqual([content.length, content[0]], [2, { type: 'text', text: 'Approve?' }]);
    assert.deepEqual((structuredContent as { approvals: unknown }).approvals, [request]);
    assert.match((structuredContent as { nextStep: string }).nextStep, /with decisions that name the id/);
  });
});

describe('responses to a question', () => {
  const task = createTask('TASK_STATE_INPUT_REQUIRED', [{ text: 'Colour?' }]);

  test('become a message of the user, unless the form was dismissed', () => {
    const answer = (response: unknown) => toAnswer(task, { m: response });
    const texts = [
      answer({ action: 'accept', content: { answer: 'red' } }),
      answer({ action: 'accept', content: { colour: 'red' } }),
      answer({ action: 'decline' }),
    ];
    assert.deepEqual(
      texts.map((each) => each?.parts),
      [[{ text: 'red' }], [{ text: '{"colour":"red"}' }], [{ text: 'The user declined to answer.' }]],
    );
    assert.equal(new Set(texts.map((each) => each?.messageId)).size, 1);
    for (const dismissed of [{ action: 'cancel' }, 'x', undefined])
      assert.equal(answer(dismissed), undefined);
  });

  test('are ignored if another answer was first, and fail if they cannot be stored', async () => {
    const update = (error: Error) => {
      const send = async (): Promise<never> => {
        throw error;
      };
      const tasks = { get: async () => task, send } as unknown as Tasks;
      const calls = new TaskCalls({ tasks, sendWaitMs: 0, retentionSeconds: 0 });
      const inputResponses = { m: { action: 'decline' } };
      return calls.update({ taskId: task.id }, { era: 'legacy', inputResponses } as unknown as McpCall);
    };
    assert.deepEqual(await update(new RequestMalformedError('Other content.')), {});
    await assert.rejects(update(new TooManyRequestsError('Too many.', 7)), /Too many/);
  });
});

describe('a skill as a tool', () => {
  test('takes other arguments as data if the agent takes JSON', () => {
    const given = { text: 'a', data: { x: 1 }, y: 2 };
    assert.deepEqual(readSkillArguments(given, true), { text: 'a', data: { x: 1, y: 2 } });
    assert.throws(() => readSkillArguments(given, false), /y/);
    assert.throws(
      () => readSkillArguments({ ...given, data: [1] }, true),
      /data must be an object next to y/,
    );
  });

  test('has another name if a tool of the service has that of the skill', () => {
    const skill = { name: 'A', description: 'a', tags: [], examples: [], inputModes: [] };
    const skills = ['get_task', 'ops_stats', 'plain'].map((id) => ({ ...skill, id }));
    const card = { skills, defaultInputModes: ['text/plain'] } as unknown as AgentCard;
    const tools = createSkillReader(() => card)();
    assert.deepEqual([...tools.keys()], ['get_task_skill', 'ops_stats_skill', 'plain']);
  });
});

describe('a refusal', () => {
  test('says in its error when the request may be repeated', () => {
    const error = new TooManyRequestsError('Too many.', 7);
    assert.equal(hasStatus(error), true);
    const format = createMcpFailure(3);
    assert.equal(format.toStatus?.(error), 429);
    assert.deepEqual(format.toBody(error, 429), {
      jsonrpc: '2.0',
      id: 3,
      error: { code: 429, message: 'Too many.', data: { retryAfterSeconds: 7 } },
    });
  });
});
