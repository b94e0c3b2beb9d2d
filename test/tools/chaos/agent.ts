/**
 * The agent of a chaos run (`AGENT_MODULE`): does the plan that its message is, and tells the tools that it calls under
 * which key, when and in which process it does so.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Agent, StepContext, Turn, TurnOutcome } from '#services/worker/agent/agent.ts';
import { createGeminiAgent } from '#services/worker/agent/gemini/agent.ts';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import { textOf } from '#shared/domain/message.ts';
import { resultArtifact, resultOf, streamedWords, type Plan } from './plans.ts';

const toolUrl = process.env['CHAOS_TOOL_URL'] ?? '';
const gemini = createGeminiAgent({
  client: { apiKey: 'offline', baseUrl: process.env['GOOGLE_GEMINI_BASE_URL'] },
});

const agent: Agent = {
  async run(turn) {
    const plan = JSON.parse(textOf(turn.message.parts)) as Plan;
    if (plan.kind === 'gemini') return gemini.run(turn);
    const outcome = await follow(turn, plan);
    const text = resultOf(plan);
    if (text !== undefined && plan.kind !== 'stream') {
      await turn.artifact({ artifactId: resultArtifact(turn.number), parts: [{ text }] });
    }
    return outcome;
  },
};
export default agent;

async function follow(turn: Turn, plan: Exclude<Plan, { kind: 'gemini' }>): Promise<TurnOutcome> {
  const done: TurnOutcome = { state: 'TASK_STATE_COMPLETED' };
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
      return done;
    case 'stream': {
      await turn.step('tool', (context) => callTool(context, plan.token, 0));
      const artifact = turn.openArtifact({ artifactId: resultArtifact(turn.number) });
      for (const text of streamedWords(plan.token, plan.words)) {
        artifact.write({ text });
        await sleep(15, undefined, { signal: turn.signal });
      }
      await artifact.close();
      return done;
    }
    case 'flaky':
      await turn.step('tool', (context) => callTool(context, plan.token, plan.failures));
      return done;
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
  const call = { key: idempotencyKey, token, begun: Date.now(), pid: process.pid, failures };
  const response = await fetch(toolUrl, { method: 'POST', body: JSON.stringify(call), signal });
  if (!response.ok) throw new RetryableError(`the tool answered ${response.status}`);
}
