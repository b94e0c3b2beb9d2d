/**
 * The agent of a chaos run (`AGENT_MODULE`). It executes the plan in its message, and passes the idempotency key, the
 * time and its process id to each tool that it calls.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent, StepContext, Turn, TurnOutcome } from '#services/worker/agent/agent.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import { textOf } from '#shared/domain/message.ts';
import { createWords, getArtifactId, getExpectedResult, type Plan } from './plans.ts';

const toolUrl = process.env['CHAOS_TOOL_URL'] ?? '';
const gemini = createGeminiAgent({
  client: { apiKey: 'offline', baseUrl: process.env['GOOGLE_GEMINI_BASE_URL'] },
});

const agent: Agent = {
  async run(turn) {
    const plan = JSON.parse(textOf(turn.message.parts)) as Plan;
    if (plan.kind === 'gemini') return gemini.run(turn);
    const outcome = await execute(turn, plan);
    const text = getExpectedResult(plan);
    if (text !== undefined && plan.kind !== 'stream') {
      await turn.artifact({ artifactId: getArtifactId(turn.number), parts: [{ text }] });
    }
    return outcome;
  },
};
export default agent;

async function execute(turn: Turn, plan: Exclude<Plan, { kind: 'gemini' }>): Promise<TurnOutcome> {
  const completed: TurnOutcome = { state: 'TASK_STATE_COMPLETED' };
  switch (plan.kind) {
    case 'steps':
      for (let step = 1; step <= plan.steps; step++) {
        await turn.step(
          'tool',
          async (context) => {
            await callTool(context, plan.token, 0);
            await sleep(plan.ms, undefined, { signal: context.signal });
          },
          { sideEffects: step % 2 === 0 },
        );
        if (step % 5 === 0) await turn.progress(`${step} of ${plan.steps}`);
      }
      return completed;
    case 'stream': {
      await turn.step('tool', (context) => callTool(context, plan.token, 0));
      const artifact = turn.openArtifact({ artifactId: getArtifactId(turn.number) });
      for (const text of createWords(plan.token, plan.words)) {
        artifact.write({ text });
        await sleep(15, undefined, { signal: turn.signal });
      }
      await artifact.close();
      return completed;
    }
    case 'flaky':
      await turn.step('tool', (context) => callTool(context, plan.token, plan.failures));
      return completed;
    case 'broken':
      await turn.step('tool', (context) => callTool(context, plan.token, 0));
      throw new FatalError('The tool is broken.');
    case 'ask':
      await turn.step('tool', (context) => callTool(context, plan.token, 0));
      return { state: 'TASK_STATE_INPUT_REQUIRED', message: 'And then?' };
    default:
      return plan satisfies never;
  }
}

async function callTool({ idempotencyKey, signal }: StepContext, token: string, failures: number) {
  const call = { key: idempotencyKey, token, at: Date.now(), pid: process.pid, failures };
  const response = await fetch(toolUrl, { method: 'POST', body: JSON.stringify(call), signal });
  if (!response.ok) throw new RetryableError(`the tool responded with ${response.status}`);
}
