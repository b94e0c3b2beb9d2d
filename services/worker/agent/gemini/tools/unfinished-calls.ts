/**
 * Calls of MCP tools that end without a worker (docs/develop/waits.md). A server may answer a call with a task, or ask its user:
 *
 *   step: the call ─▶ task ─▶ suspended ──due──▶ polled ──ended──▶ the result, for the model
 *        ▲                       ▲                  └──asks──▶ input-required ─▶ step: the answer ─▶ suspended …
 *        └── with the answer ── input-required ◀── question
 */
import type { CallToolResult } from '@modelcontextprotocol/client';
import { RetryableError } from '#shared/domain/errors.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { toolWaitPrefix } from '#shared/domain/wait.ts';
import type { CallResult } from '../../agent.ts';
import { toToolOutput } from '../../mcp/result.ts';
import { describeRequests, toResponses } from '../../mcp/tasks/elicitation.ts';
import { requestsArtifact, resultArtifact } from '../../mcp/tasks/open.ts';
import type { LoopTurn } from '../conversation/recorded-turn.ts';
import type { AgentQuestion } from './call-agent.ts';
import {
  OutputWithFiles,
  type DeclaredTool,
  type ToolContext,
  type ToolReply,
  type UnfinishedCall,
} from './tool.ts';

type Asked = { asked: AgentQuestion };

/**
 * Waits for the task of a call, or returns what it asks.
 *
 * @param name of the wait
 */
export async function awaitUnfinished(
  turn: LoopTurn,
  name: string,
  call: UnfinishedCall,
): Promise<ToolReply | Asked> {
  const { server, taskId, seconds, pollSeconds, requests } = call;
  if (requests !== undefined) return ask(call, requests);
  if (taskId === undefined) return { response: { error: 'The tool has answered without a result.' } };
  const options = { server, taskId, timeoutSeconds: seconds };
  const result = await turn.followTask(name, {
    ...options,
    ...(pollSeconds !== undefined && { pollSeconds }),
  });
  if (result.status === 'input_required') {
    return ask(call, getData(result, requestsArtifact) as JsonObject);
  }
  if (result.status !== 'completed') return { response: { error: describeEnd(result) } };
  try {
    return toReply(toToolOutput(readResult(result), call.maxChars));
  } catch (error) {
    return { response: { error: (error as Error).message } };
  }
}

/**
 * Answers what a call has asked with the parts of a message. Returns the question again if they do not answer it, or how
 * the call is made again.
 */
export async function answerTool(
  turn: LoopTurn,
  name: string,
  call: UnfinishedCall,
  parts: readonly Part[],
  tools: readonly DeclaredTool[],
): Promise<ToolReply | Asked | NonNullable<ToolContext['answers']>> {
  const { server, taskId, requests = {}, requestState, ...rest } = call;
  const inputResponses = toResponses(requests, parts);
  if (inputResponses === undefined) return ask(call, requests);
  if (taskId === undefined) {
    return { inputResponses, ...(requestState !== undefined && { requestState }) };
  }
  await turn.step(`answer:${name.slice(toolWaitPrefix.length)}`, async ({ signal }) => {
    const answering = tools.find((tool) => 'server' in tool && tool.server === server);
    if (answering === undefined || !('answerTask' in answering) || answering.answerTask === undefined) {
      throw new RetryableError(`The MCP server "${server}" is currently unavailable.`);
    }
    await answering.answerTask(taskId, inputResponses, signal);
  });
  return awaitUnfinished(turn, name, { ...rest, server, taskId });
}

export function toReply(output: Awaited<ReturnType<typeof toToolOutput>>): ToolReply {
  if (output instanceof OutputWithFiles)
    return { response: { output: output.output }, files: [...output.files] };
  return { response: { output: output as JsonObject[string] } };
}

function ask(call: UnfinishedCall, requests: JsonObject): Asked {
  const tool = { ...call, requests };
  return { asked: { taskId: undefined, contextId: undefined, parts: describeRequests(requests), tool } };
}

function readResult(result: CallResult): CallToolResult {
  const value = getData(result, resultArtifact) as Partial<CallToolResult>;
  return { ...value, content: Array.isArray(value.content) ? value.content : [] };
}

function getData({ artifacts }: CallResult, artifactId: string): unknown {
  return artifacts.find((artifact) => artifact.artifactId === artifactId)?.parts[0]?.data ?? {};
}

const ends: Partial<Record<CallResult['status'], string>> = {
  failed: 'The task of the tool failed',
  canceled: 'The task of the tool was canceled by its server',
  timed_out: 'The task of the tool did not finish in time',
};

function describeEnd({ status, message }: CallResult): string {
  const reason = message.map(({ text = '' }) => text).join(' ');
  return `${ends[status] ?? 'The task of the tool has no result'}${reason === '' ? '' : `: ${reason}`}.`.replace(
    /\.\.$/,
    '.',
  );
}
