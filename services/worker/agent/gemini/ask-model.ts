/**
 * Gets one reply of the model, in `model` steps. A call that fails in a way that may pass is recorded too
 * (model/stall.ts): its task is parked, its status says for what it waits and since when, and its tokens count.
 * The next run continues with another step.
 *
 *   model#0 failed ─▶ parked ─▶ model#1 failed ─▶ parked ─▶ … ─▶ model#n response, or too long without one
 */
import { getModelApi } from '#shared/agent/model-api.ts';
import { FatalError, ParkedError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import { addUsage } from '#shared/domain/usage.ts';
import type { ModelSettings } from '#shared/agent/model-settings.ts';
import type { AskModelParts } from './ask-model-parts.ts';
import { callInBatch } from './batch/call.ts';
import type { InteractionReply } from './interactions/call.ts';
import { callInteraction, rememberStored } from './interactions/hops.ts';
import { callModel } from './model/call.ts';
import type { ModelResponse } from './model/response.ts';
import { toRecordedUsage } from './model/recorded-usage.ts';
import { inModelSpan } from './model/span.ts';
import { Stall, type FailedCall } from './model/stall.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export interface ModelReply {
  response: ModelResponse;
  /** True if the call was made in this run, not replayed from its record. */
  live: boolean;
  /** True if the text is already in the artifact. */
  streamed: boolean;
}

/**
 * @throws {ParkedError} after a failed call that may succeed later
 * @throws {FatalError} if no retry can help, or if the model has failed for too long
 * @throws {LimitError} when a limit is reached
 */
export async function askModel(parts: AskModelParts): Promise<ModelReply> {
  const { turn, definition, conversation, answer, budget, partnerWaits } = parts;
  const stall = new Stall(definition.model.name, definition.limits.outageSeconds);
  for (;;) {
    budget.checkSpent(conversation.spent);
    const call = selectCall(definition.model);
    const messages = partnerWaits.messages;
    const startedAt = performance.now();
    const { result, live, streamed: isStored, workMs = result.ms } = await call(parts, stall);
    const wasWritten = await answer.end();
    const streamed = isStored ?? wasWritten;
    budget.spend(workMs);
    const usage = toRecordedUsage(definition, result);
    if (usage !== undefined) conversation.spent = addUsage(conversation.spent, usage);
    const partner = `the model ${definition.model.name}`;
    if (!('failed' in result)) {
      if (live) partnerWaits.answered(partner);
      rememberStored(conversation, result);
      return { response: result, live, streamed };
    }
    stall.add(result.failed);
    const reason = stall.giveUp();
    if (reason !== undefined) throw new FatalError(reason);
    if (!live) continue;
    const status = stall.describe(partnerWaits.messages > messages);
    if (status !== undefined) await turn.progress(status);
    if (result.failed.kind === 'outage') partnerWaits.parked(partner, startedAt);
    throw new ParkedError(result.failed.message, new Date(databaseNow() + result.failed.parkMs));
  }
}

function selectCall(model: ModelSettings): typeof runModelStep {
  if (getModelApi(model) === 'interactions') return callInteraction;
  if (model.serviceTier !== 'batch') return runModelStep;
  return (parts, stall) => callInBatch(parts, stall, () => runModelStep(parts, stall));
}

async function runModelStep(
  {
    turn,
    definition,
    model,
    conversation,
    config,
    answer,
    streams,
    budget,
    spentToday,
    checkCost,
    quota,
    partnerWaits,
  }: AskModelParts,
  stall: Stall,
): Promise<InteractionReply> {
  using deadline = budget.deadline();
  const { contents, spent } = conversation;
  const request = { model: definition.model.name, contents, config };
  let live = false;
  const result = await turn.step<ModelResponse | FailedCall>(
    'model',
    async ({ signal }) => {
      live = true;
      await checkCost();
      if (budget.limitsOwner) budget.checkOwner(await spentToday());
      const bounded = AbortSignal.any([signal, deadline]);
      const trusted = spent.calls > 0;
      const callParts = {
        quota,
        partnerWaits,
        answer: streams ? answer : undefined,
        signal: bounded,
        stall,
        trusted,
      };
      return inModelSpan(model, request, () => callModel(model, request, callParts));
    },
    {
      input: { model: request.model, contents: contents.length },
      usage: (recorded: Json) => toRecordedUsage(definition, recorded as ModelResponse | FailedCall),
    },
  );
  return { result, live };
}
