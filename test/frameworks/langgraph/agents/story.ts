/** A graph whose second node streams forty words. Calls are written to TEST_CALLS. */
import { appendFileSync } from 'node:fs';
import { MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { createGraphAgent } from 'longhaul/langgraph';
import { ScriptedModel } from '../scripted-model.ts';

export const title = 'A story.';
export const story = Array.from({ length: 40 }, (_, index) => `word${index}`).join(' ');
const callsFile = process.env['TEST_CALLS'] ?? '';

const model = new ScriptedModel({
  reply: (earlier) => ({ text: earlier === 0 ? title : story }),
  onCall: (earlier) => appendFileSync(callsFile, `model ${earlier}\n`),
  wordMs: 15,
});

const graph = new StateGraph(MessagesAnnotation)
  .addNode('title', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
  .addNode('story', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
  .addEdge(START, 'title')
  .addEdge('title', 'story')
  .compile();

export default createGraphAgent(graph, { definition: { name: 'Story', description: 'Tells a story.' } });
