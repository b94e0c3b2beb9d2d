/** The parts of a call of the model that are the same for both of Gemini's APIs. */
import type { GenerateContentConfig } from '@google/genai';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { GoogleServer } from '../mcp/tools.ts';
import type { PartnerWaits } from '../partner-waits.ts';
import type { TaskBatches } from './batch/stores.ts';
import type { Budget } from './budget.ts';
import type { AnswerArtifact } from './conversation/answer-artifact.ts';
import type { Conversation } from './conversation/conversation.ts';
import type { LoopTurn } from './conversation/recorded-turn.ts';
import type { GeminiModel } from './model/call.ts';
import type { TaskQuota } from './model/quota.ts';

export interface AskModelParts {
  turn: LoopTurn;
  definition: AgentDefinition;
  model: GeminiModel;
  conversation: Conversation;
  config: GenerateContentConfig;
  answer: AnswerArtifact;
  /** False: the text is not streamed. */
  streams: boolean;
  /** The reply is a plan for the user. */
  plans: boolean;
  budget: Budget;
  /** MCP servers that Google calls. */
  googleServers: readonly GoogleServer[];
  /** Returns what all tasks of the owner have spent since midnight UTC. */
  spentToday: () => Promise<{ tokens: number; cost: number }>;
  /** Throws an OwnerLimitError if the owner's cost limit is reached. */
  checkCost: () => Promise<void>;
  /** Undefined: there are no batches. */
  batches: TaskBatches | undefined;
  quota: TaskQuota;
  partnerWaits: PartnerWaits;
}
