/** Models, tools and crashes for the tests of agents in memory. */
import { FunctionTool, LogLevel, setLogLevel, type Context } from '@google/adk';
import type { TestTask } from 'longhaul/testing';
import { z } from 'zod/v4';
import { ScriptedLlm, type Reply } from './scripted-llm.ts';

setLogLevel(LogLevel.ERROR);

export interface Log {
  models: string[];
  tools: string[];
}

export const newLog = (): Log => ({ models: [], tools: [] });

export function createModel(log: Log, name: string, replies: readonly Reply[], wordMs = 0): ScriptedLlm {
  return new ScriptedLlm({
    reply: (earlier) => replies[earlier] ?? {},
    onCall: (earlier) => log.models.push(`${name} ${earlier}`),
    wordMs,
  });
}

export function createTool(
  log: Log,
  name: string,
  options: { requireConfirmation?: boolean } = {},
): FunctionTool {
  return new FunctionTool({
    name,
    description: name,
    parameters: z.object({ order: z.number() }),
    ...options,
    execute: async ({ order }: { order: number }, context?: Context) => {
      log.tools.push(`${name} ${order}`);
      context?.state.set('last', `${name} ${order}`);
      return { done: order };
    },
  }) as unknown as FunctionTool;
}

/** Runs the turn to its end, with a crash after each step of these names. */
export async function runWithCrashes(
  task: TestTask,
  names = ['model', 'tool:look', 'tool:refund', 'session'],
): Promise<number> {
  let crashes = 0;
  for (const name of names) {
    for (;;) {
      const next = task.steps.filter((recorded) => recorded.name === name && recorded.finished).length + 1;
      const run = await task.run({ crashAfter: `${name}#${next}` }).catch(() => undefined);
      if (run?.end !== 'crashed') break;
      crashes += 1;
    }
  }
  await task.run();
  return crashes;
}

export const look = { name: 'look', args: { order: 7 } };
export const refund = { name: 'refund', args: { order: 7 } };
