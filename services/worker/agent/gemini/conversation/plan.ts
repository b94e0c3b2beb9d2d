/**
 * Planning together with an agent of Google (ai.google.dev/gemini-api/docs/interactions/deep-research, "Collaborative
 * planning", 2026-06-22): it proposes a plan, which is the message of the task in input-required. The answer of the user
 * confirms it, or asks for another one.
 */
import { readPlainDecision } from '#shared/agent/approval.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { Message, Part } from '#shared/domain/message.ts';
import type { TurnOutcome } from '../../agent.ts';
import type { Conversation } from './conversation.ts';

export function plansNow({ model }: AgentDefinition, { plan }: Conversation): boolean {
  return model.agentConfig?.collaborativePlanning === true && plan !== 'confirmed';
}

/** Whether a message confirms the plan, in one plain word. Any other message asks for a change. */
export function confirmsPlan({ plan }: Conversation, { parts }: Message): boolean {
  return plan === 'proposed' && readPlainDecision(parts) === true;
}

export function toPlanOutcome(plan: readonly Part[]): TurnOutcome {
  const how = { text: 'Reply "yes" to start with this plan, or say what to change.' };
  return { state: 'TASK_STATE_INPUT_REQUIRED', message: [...plan, how] };
}
