/** Runs a call of another agent for the model: a wait of the turn, not a step (docs/develop/remote-agents.md). */
import type { JsonObject, Part } from '#shared/domain/message.ts';
import type { CallResult } from '../../agent.ts';
import { toReply } from '../../remote/output.ts';
import type { LoopTurn } from '../conversation/recorded-turn.ts';
import type { AgentCallTool, ToolReply, UnfinishedCall } from './tool.ts';

/** The question of another agent, or of an MCP tool, which waits for an answer. */
export interface AgentQuestion {
  taskId: string | undefined;
  contextId: string | undefined;
  parts: readonly Part[];
  /** Set if a tool asks. */
  tool?: UnfinishedCall;
}

/** The parts of a message that answer a question. */
export interface AgentAnswer extends Pick<AgentQuestion, 'taskId' | 'contextId' | 'tool'> {
  parts: Part[];
}

/** @param answer replaces the message of the arguments */
export async function callAgent(
  turn: LoopTurn,
  { agent, maxOutputChars }: AgentCallTool,
  args: JsonObject,
  answer: AgentAnswer | undefined,
): Promise<ToolReply | { asked: AgentQuestion }> {
  const result = await (answer === undefined
    ? callByArguments(turn, agent, args)
    : continueCall(turn, agent, answer));
  if (typeof result === 'string') return { response: { error: result } };
  const { status, taskId, contextId, message } = result;
  if (status === 'input_required' || status === 'auth_required') {
    return { asked: { taskId, contextId, parts: message } };
  }
  return toReply(agent, result, maxOutputChars);
}

/** Returns what is wrong with the arguments, as a text for the model. */
async function callByArguments(
  turn: LoopTurn,
  agent: string,
  args: JsonObject,
): Promise<CallResult | string> {
  const { message, contextId } = args;
  if (typeof message !== 'string' || message.trim() === '') {
    return 'Not called: the message is missing. Set "message" to a non-empty string.';
  }
  return turn.call(agent, message, typeof contextId === 'string' && contextId !== '' ? { contextId } : {});
}

async function continueCall(
  turn: LoopTurn,
  agent: string,
  { parts, taskId, contextId }: AgentAnswer,
): Promise<CallResult> {
  return turn.call(agent, parts.length > 0 ? parts : '(an empty message)', { taskId, contextId });
}
