/** A graph with a model and tools, each call of which is a task of its own. `refund` waits for an approval. */
import { ToolMessage, type AIMessage, type BaseMessage } from '@langchain/core/messages';
import { END, interrupt, MessagesAnnotation, Send, START, StateGraph } from '@langchain/langgraph';
import type { ScriptedModel } from './scripted-model.ts';

export interface ToolCall {
  id?: string;
  name: string;
  args: Record<string, unknown>;
}

export type RunTool = (call: ToolCall) => Promise<string>;

export function createToolGraph(model: ScriptedModel, runTool: RunTool) {
  return new StateGraph(MessagesAnnotation)
    .addNode('model', async ({ messages }) => ({ messages: [await model.invoke(messages)] }))
    .addNode('tool', async (call: unknown) => {
      const { id = '', name, args } = call as ToolCall;
      if (name === 'refund') {
        const { decisions } = interrupt({
          actionRequests: [{ name, args }],
          reviewConfigs: [{ actionName: name, allowedDecisions: ['approve', 'reject'] }],
        }) as { decisions: { type: string; message?: string }[] };
        const [decision] = decisions;
        if (decision?.type !== 'approve') {
          return {
            messages: [new ToolMessage({ tool_call_id: id, content: `refused: ${decision?.message ?? ''}` })],
          };
        }
      }
      return {
        messages: [new ToolMessage({ tool_call_id: id, content: await runTool({ id, name, args }) })],
      };
    })
    .addEdge(START, 'model')
    .addConditionalEdges('model', ({ messages }) => toNext(messages), ['tool', END])
    .addEdge('tool', 'model')
    .compile();
}

function toNext(messages: readonly BaseMessage[]): typeof END | Send[] {
  const last = messages.at(-1) as AIMessage | undefined;
  const calls = last?.tool_calls ?? [];
  return calls.length === 0 ? END : calls.map((call) => new Send('tool', call));
}
