/** Runs a graph whose node calls a model that answers at once: first with LangGraph's memory, then as a turn. */
import { HumanMessage } from '@langchain/core/messages';
import { Annotation, END, MemorySaver, START, StateGraph } from '@langchain/langgraph';
import { defineAgent } from 'longhaul/agent';
import { createGraphAgent } from 'longhaul/langgraph';
import { ScriptedModel } from './scripted-model.ts';

const calls = 500;
const prompt = [new HumanMessage('word '.repeat(400))];

/** @param times gets when each call has started */
function createGraph(times: number[]) {
  const model = new ScriptedModel({
    reply: () => ({ text: 'word '.repeat(40) }),
    onCall: () => times.push(performance.now()),
    streams: false,
  });
  return new StateGraph(Annotation.Root({ count: Annotation<number>, text: Annotation<string> }))
    .addNode('ask', async ({ count }) => ({ count: count + 1, text: (await model.invoke(prompt)).text }))
    .addEdge(START, 'ask')
    .addConditionalEdges('ask', ({ count }) => (count > calls ? END : 'ask'))
    .compile({ checkpointer: new MemorySaver() });
}

const recursionLimit = calls + 10;

export default defineAgent({
  definition: { name: 'Bench', description: 'Measures calls.' },
  run: async (turn) => {
    const bare: number[] = [];
    for (const thread of ['warm', 'bare']) {
      bare.length = 0;
      await createGraph(bare).invoke({ count: 0 }, { recursionLimit, configurable: { thread_id: thread } });
    }
    const recorded: number[] = [];
    const agent = createGraphAgent(createGraph(recorded), {
      recursionLimit,
      input: () => ({ count: 0 }),
      output: async () => ({ state: 'TASK_STATE_COMPLETED' }),
    });
    const outcome = await agent.run(turn);
    const data = { bare: toDurations(bare), recorded: toDurations(recorded) };
    await turn.artifact({ artifactId: 'times', parts: [{ data }] });
    return outcome;
  },
});

function toDurations(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => time - (times[index] ?? 0));
}
