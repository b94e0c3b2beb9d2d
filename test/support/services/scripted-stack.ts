/** A stack whose workers run the scripted agent (agents/scripted.ts), and the tool that the steps of the agent call. */
import { fileURLToPath } from 'node:url';
import type { Cleanup } from '../cleanup.ts';
import { startStack, type Stack } from '../stack.ts';
import { startReceiver, type Receiver } from '../webhooks/receiver.ts';

/** For `AGENT_MODULE`. */
export const scriptedAgent = fileURLToPath(new URL('../agents/scripted.ts', import.meta.url));

/** Starts everything except the services. `tool` receives one request for each run of a step. */
export async function startScriptedStack(
  t: Cleanup,
  env: Record<string, string> = {},
): Promise<{ stack: Stack; tool: Receiver }> {
  const tool = await startReceiver(t);
  const stack = await startStack(t, { AGENT_MODULE: scriptedAgent, TEST_LOG_URL: tool.url, ...env });
  return { stack, tool };
}

/** The runs of a task's steps so far, in order, each as `turn/name/occurrence`. */
export function getStepRuns(tool: Receiver, taskId: string): string[] {
  return tool.received
    .filter(({ body }) => body.startsWith(`${taskId}/`))
    .map(({ body }) => body.slice(taskId.length + 1));
}
