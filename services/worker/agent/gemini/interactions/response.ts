/**
 * Converts an interaction that has ended to the response of a model call, so that everything after it is the same for
 * both APIs. Pure.
 *
 *   completed, requires_action    STOP
 *   incomplete                    MAX_TOKENS
 *   requires_continuation         REQUIRES_CONTINUATION, with the token that continues the reply; MAX_TOKENS without one
 *   budget_exceeded               BUDGET_EXCEEDED: what there is of the answer is kept
 *   cancelled                     CANCELLED, with the limit for which it was canceled
 *   failed                        a failed call (model/stall.ts); FAILED, with the reason, if the request is at fault
 */
import type { ModelSettings } from '#shared/agent/model-settings.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import { toToolCalls } from '../model/cost.ts';
import { isFatalCode } from '../model/failure.ts';
import type { ModelResponse } from '../model/response.ts';
import type { FailedCall, Stall } from '../model/stall.ts';
import type { Interaction } from './client.ts';
import { getSources } from './sources.ts';
import { getReplySteps, toParts, type Step } from './steps.ts';

/** A call that needs no more polls. */
export interface EndedCall {
  interaction: Interaction;
  /** Why it was canceled by its turn. */
  limit?: string;
}

export function hasEnded({ status }: Pick<Interaction, 'status'>): boolean {
  return status !== 'queued' && status !== 'in_progress';
}

export function toResponse(
  { interaction, limit }: EndedCall,
  { model: { name, store = true }, base }: { model: ModelSettings; base: number | undefined },
  stall: Stall,
): ModelResponse | FailedCall {
  const { status, continuation_token: token = '' } = interaction;
  const steps = getReplySteps(interaction.steps ?? []);
  const usage = toCounts(interaction, name);
  const ms = getDurationMs(interaction);
  const failure = status === 'failed' ? findFailure(steps, interaction.errors) : undefined;
  if (failure?.isFatal === false) return { failed: toFailed(failure.detail, stall), usage, ms };
  const isCut = status === 'requires_continuation' && token !== '';
  const parts = toParts(steps);
  const sources = getSources(steps);
  const content = { role: 'model', ...(parts.length > 0 && { parts }) };
  return {
    content: JSON.parse(JSON.stringify(content)) as JsonObject,
    finishReason: isCut ? 'REQUIRES_CONTINUATION' : (finishReasons[status] ?? status.toUpperCase()),
    finishMessage: failure?.detail ?? (status === 'cancelled' ? (limit ?? null) : null),
    blockReason: null,
    ...(sources !== undefined && { sources }),
    usage,
    ms,
    ...(isCut && { continuation: token }),
    ...(interaction.environment_id !== undefined && { environment: interaction.environment_id }),
    ...(store && { ...(base !== undefined && { base }), interaction: interaction.id }),
  };
}

const finishReasons: Record<string, string> = {
  completed: 'STOP',
  requires_action: 'STOP',
  incomplete: 'MAX_TOKENS',
  requires_continuation: 'MAX_TOKENS',
};

const maxMessageChars = 500;

/** The ends of the URIs that name errors which another call with the same request would meet again. */
const fatalError = /(?:invalid_request|invalid_argument)$/i;

function findFailure(
  steps: readonly Step[],
  errors: Interaction['errors'] = [],
): { detail: string; isFatal: boolean } {
  const error = steps.flatMap((step) => (step.type === 'model_output' ? (step.error ?? []) : [])).at(-1);
  const last = errors.at(-1);
  const detail = (error?.message ?? last?.message ?? 'no reason given').slice(0, maxMessageChars);
  return { detail, isFatal: isFatalCode(error?.code ?? -1) || fatalError.test(last?.code ?? '') };
}

function toFailed(detail: string, stall: Stall): FailedCall['failed'] {
  const now = databaseNow();
  return {
    kind: 'outage',
    at: new Date(now).toISOString(),
    message: 'The call failed at the model.',
    detail,
    parkMs: stall.getOutageParkMs(now, Math.random()),
  };
}

/** Returns token counts under the names of `usageMetadata`, which the ledger reads. */
export function toCounts(
  {
    usage,
    model,
    agent,
    service_tier: tier,
  }: Pick<Interaction, 'usage' | 'model' | 'agent' | 'service_tier'>,
  requested: string,
): JsonObject {
  const counts = {
    promptTokenCount: usage?.total_input_tokens,
    cachedContentTokenCount: usage?.total_cached_tokens,
    toolUsePromptTokenCount: usage?.total_tool_use_tokens,
    thoughtsTokenCount: usage?.total_thought_tokens,
    candidatesTokenCount: usage?.total_output_tokens,
  };
  const toolCalls = (usage?.grounding_tool_count ?? []).map(
    ({ type = '', count }) => [toToolCalls(type), count] as const,
  );
  const known = [...Object.entries(counts), ...toolCalls].filter(([, count]) => count !== undefined);
  return {
    model: model ?? agent ?? requested,
    ...(tier !== undefined && { tier }),
    ...(Object.fromEntries(known) as JsonObject),
  };
}

/** Returns how long the model worked, by Google's clock. */
function getDurationMs({ created, updated }: Interaction): number {
  const ms = Date.parse(updated ?? '') - Date.parse(created ?? '');
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}
