/** An interaction as it is stored, and as the API shows it. */
import type { Reply } from '../reply.ts';
import { estimateTextTokens } from '../wire.ts';
import type { EventLog } from './stream.ts';
import type { CreateRequest, Status, WireStep } from './wire.ts';

export interface StoredInteraction {
  id: string;
  status: Status;
  request: CreateRequest;
  created: string;
  updated: string;
  /** The whole conversation before the reply. */
  context: WireStep[];
  steps: WireStep[];
  promptTokens: number;
  log: EventLog;
  errors?: { code?: string; message: string }[];
  /** Where a managed agent works. */
  environmentId?: string;
  /** Continues a reply that requires it. */
  continuationToken?: string;
}

/** The statuses that a script asks for by a finish reason. */
const statuses: Record<string, Status> = {
  MAX_TOKENS: 'incomplete',
  BUDGET_EXCEEDED: 'budget_exceeded',
  CANCELLED: 'cancelled',
  REQUIRES_CONTINUATION: 'requires_continuation',
};

export function getEndStatus({ steps }: StoredInteraction, { error, finishReason = '' }: Reply): Status {
  if (error !== undefined) return 'failed';
  if (steps.some(({ type }) => type === 'function_call')) return 'requires_action';
  return statuses[finishReason] ?? 'completed';
}

export function toResource(interaction: StoredInteraction): object {
  const {
    id,
    status,
    request,
    created,
    updated,
    steps,
    promptTokens,
    errors,
    continuationToken,
    environmentId,
  } = interaction;
  const output = estimateTextTokens(JSON.stringify(steps));
  const { model, agent, labels, previous_interaction_id: previous, service_tier: tier, tools } = request;
  const searches = tools?.some(({ type }) => type === 'google_search') ?? false;
  return {
    id,
    object: 'interaction',
    status,
    created,
    updated,
    ...(model === undefined ? { agent } : { model }),
    ...(labels !== undefined && { labels }),
    ...(previous !== undefined && { previous_interaction_id: previous }),
    ...(tier !== undefined && { service_tier: tier }),
    ...(continuationToken !== undefined && { continuation_token: continuationToken }),
    ...(environmentId !== undefined && { environment_id: environmentId }),
    steps,
    ...(errors !== undefined && { errors }),
    ...(status !== 'in_progress' &&
      status !== 'queued' && {
        usage: {
          total_input_tokens: promptTokens,
          total_output_tokens: output,
          total_thought_tokens: 0,
          total_tokens: promptTokens + output,
          ...(searches && { grounding_tool_count: [{ type: 'google_search', count: 1 }] }),
        },
      }),
  };
}
