/** An MCP server whose tools answer with tasks, in either revision. A test decides how each task goes. */
import { randomUUID } from 'node:crypto';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Cleanup } from '../cleanup.ts';
import { createMcpTool, startScriptedMcp, type ScriptedMcp } from './scripted-mcp.ts';

export interface McpTasks {
  readonly server: ScriptedMcp;
  /** The tasks, by their ids, in the terms of 2026-07-28. */
  readonly tasks: Map<string, JsonObject>;
  /** The responses that clients have sent. */
  readonly updates: JsonObject[];
  readonly canceled: string[];
  /** How often a task was read. */
  readonly polls: () => number;
}

export type TaskRevision = '2026-07-28' | '2025-11-25';

const cache = { ttlMs: 0, cacheScope: 'private' };

/** @param tool fields of the tool `convert`, each of whose calls starts a task */
export async function startMcpTasks(
  t: Cleanup,
  revision: TaskRevision,
  tool: JsonObject = {},
): Promise<McpTasks> {
  const server = await startScriptedMcp(t);
  const tasks = new Map<string, JsonObject>();
  const updates: JsonObject[] = [];
  const canceled: string[] = [];
  let polls = 0;
  const isModern = revision === '2026-07-28';
  const find = (params: JsonObject): JsonObject | undefined => tasks.get(params['taskId'] as string);
  const missing = { error: { code: -32_602, message: 'Failed to retrieve task: Task not found' } };
  const result = (value: JsonObject) => ({ result: isModern ? { resultType: 'complete', ...value } : value });
  server.tools = [createMcpTool('convert', { execution: { taskSupport: 'required' }, ...tool })];
  server.answerList = () => result({ tools: server.tools, ...(isModern && cache) });
  server.answer = () => {
    const taskId = randomUUID();
    const times = { createdAt: new Date().toISOString(), lastUpdatedAt: new Date().toISOString() };
    tasks.set(taskId, { taskId, status: 'working', ...times, ttlMs: null, pollIntervalMs: 10 });
    const task = tasks.get(taskId)!;
    return isModern ? { result: { ...task, resultType: 'task' } } : { result: { task: toLegacy(task) } };
  };
  server.methods = {
    ...(isModern
      ? {
          'server/discover': () =>
            result({
              supportedVersions: [revision],
              capabilities: { tools: {}, extensions: { 'io.modelcontextprotocol/tasks': {} } },
              ...cache,
            }),
          'tasks/update': (params: JsonObject) => {
            updates.push(params['inputResponses'] as JsonObject);
            return find(params) === undefined ? missing : result({});
          },
        }
      : {
          initialize: () => ({
            result: {
              protocolVersion: revision,
              capabilities: { tools: {}, tasks: { cancel: {}, requests: { tools: { call: {} } } } },
              serverInfo: { name: 'scripted', version: '1' },
            },
          }),
          'tasks/result': (params: JsonObject) => {
            const task = find(params);
            return task === undefined ? missing : { result: task['result'] as JsonObject };
          },
        }),
    'tasks/get': (params) => {
      polls += 1;
      const task = find(params);
      if (task === undefined) return missing;
      return isModern ? result(task) : { result: toLegacy(task) };
    },
    'tasks/cancel': (params) => {
      canceled.push(params['taskId'] as string);
      const task = find(params);
      if (task === undefined) return missing;
      task['status'] = 'cancelled';
      return isModern ? result({}) : { result: toLegacy(task) };
    },
  };
  return { server, tasks, updates, canceled, polls: () => polls };
}

function toLegacy({
  ttlMs,
  pollIntervalMs,
  result: _result,
  inputRequests: _requests,
  ...task
}: JsonObject): JsonObject {
  return { ...task, ttl: ttlMs ?? null, pollInterval: pollIntervalMs ?? 10 };
}
