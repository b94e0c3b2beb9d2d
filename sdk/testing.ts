/** `longhaul/testing`: run agents in memory, crash them after any step, and check that they replay (docs/develop/testing.md). */
import type { Agent } from '#services/worker/agent/agent.ts';
import { MemoryTask } from './testing/task.ts';
import type { TestTask, TestTaskOptions } from './testing/types.ts';

export { assertReplays, DivergenceError } from './testing/replay.ts';
export { startScriptedModel, type ScriptedModel } from './testing/scripted-model.ts';
export { startStack, type StackLogEntry, type StackOptions, type TestStack } from './testing/stack.ts';
export type {
  RunOptions,
  TestAgent,
  TestAgentAnswer,
  TestAgentMessage,
  TestRun,
  TestStep,
  TestTask,
  TestTaskOptions,
} from './testing/types.ts';
export type { LoggedRequest } from '#services/local/offline-model/request-log.ts';
export type { ScriptRule } from '#services/local/offline-model/script.ts';

/** Creates a task in memory, for an agent in code or one that `ScriptedModel.loadAgent` has loaded. */
export function createTask(agent: Agent, options: TestTaskOptions | string): TestTask {
  return new MemoryTask(agent, options);
}
