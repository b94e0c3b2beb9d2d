/** Runs a loop of an agent whose model answers at once: first with ADK's runner in memory, then as a turn. */
import { InMemoryRunner, LlmAgent, LoopAgent, LogLevel, setLogLevel, StreamingMode } from '@google/adk';
import { createAdkAgent } from 'longhaul/adk';
import { defineAgent } from 'longhaul/agent';
import { ScriptedLlm } from './scripted-llm.ts';

const calls = 500;
setLogLevel(LogLevel.ERROR);

/** @param times gets when each call has started */
function createRoot(times: number[]): LoopAgent {
  const model = new ScriptedLlm({
    reply: () => ({ text: 'word '.repeat(40) }),
    onCall: () => void times.push(performance.now()),
  });
  const asker = new LlmAgent({
    name: 'asker',
    model,
    instruction: 'word '.repeat(400),
    includeContents: 'none',
  });
  return new LoopAgent({ name: 'loop', subAgents: [asker], maxIterations: calls + 1 });
}

const runConfig = { streamingMode: StreamingMode.NONE, maxLlmCalls: 0 };

export default defineAgent({
  definition: { name: 'Bench', description: 'Measures calls.', limits: { modelCalls: 10_000 } },
  run: async (turn) => {
    const bare: number[] = [];
    for (const userId of ['warm', 'bare']) {
      bare.length = 0;
      const runner = new InMemoryRunner({ agent: createRoot(bare), appName: 'bench' });
      const newMessage = { role: 'user', parts: [{ text: 'go' }] };
      for await (const _event of runner.runEphemeral({ userId, newMessage, runConfig }));
    }
    const recorded: number[] = [];
    const outcome = await createAdkAgent(createRoot(recorded), { runConfig }).run(turn);
    const data = { bare: toDurations(bare), recorded: toDurations(recorded) };
    await turn.artifact({ artifactId: 'times', parts: [{ data }] });
    return outcome;
  },
});

function toDurations(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - (times[index] ?? 0));
}
