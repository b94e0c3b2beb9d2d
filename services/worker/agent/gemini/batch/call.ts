/**
 * Gets one reply of the model through Google's Batch API, together with the calls of other tasks of the definition. The turn is
 * suspended meanwhile:
 *
 *   wait recorded ─▶ call added, step `batch` ─▶ suspended ─▶ its batch has ended ─▶ step `model`: its reply
 *                     │                                        (collector.ts)
 *                     └─▶ too large, or too near to the deadline of the task: made at once, in the tier `standard`
 */
import { FatalError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import { batchStep } from '#shared/domain/wait.ts';
import { getCollectSeconds } from '#shared/agent/model-settings.ts';
import type { AskModelParts } from '../ask-model-parts.ts';
import type { InteractionReply } from '../interactions/call.ts';
import { toRecordedUsage } from '../model/recorded-usage.ts';
import type { ModelResponse } from '../model/response.ts';
import { inModelSpan } from '../model/span.ts';
import type { FailedCall, Stall } from '../model/stall.ts';
import { toResponse, type CallResult } from './result.ts';

const waitStep = 'batch-wait';
/** Larger requests would fill a batch. */
const maxRequestBytes = 4_000_000;

/**
 * @param callNow makes a call that is not for a batch
 * @throws {FatalError} if batches are not supported here, or the request is at fault
 * @throws {LimitError} when the call has waited too long
 */
export async function callInBatch(
  parts: AskModelParts,
  stall: Stall,
  callNow: () => Promise<InteractionReply>,
): Promise<InteractionReply> {
  const { turn, definition, conversation, config, budget, batches, checkCost, spentToday, model } = parts;
  if (batches === undefined) throw new FatalError('This agent does not support the service tier batch.');
  const { contents } = conversation;
  const { name } = definition.model;
  const request = { model: name, contents, config };
  const input = { model: name, contents: contents.length };
  const limitSeconds = budget.batchSeconds;
  const wait = await turn.waitForModel(waitStep, { batchSeconds: limitSeconds });
  const added = await turn.step<{ queued: boolean }>(
    batchStep,
    async () => {
      await checkCost();
      if (budget.limitsOwner) budget.checkOwner(await spentToday());
      const body = JSON.stringify({ contents, config });
      if (Buffer.byteLength(body) > maxRequestBytes) return { queued: false };
      const collectSeconds = getCollectSeconds(definition.model);
      const call = { token: wait.token, model: name, request: body, collectSeconds };
      return { queued: await batches.add(call) };
    },
    { input },
  );
  if (!added.queued) {
    await wait.ended(async () => true, { limitSeconds: 0 });
    return callNow();
  }

  const read = async (): Promise<{ result: CallResult; ageMs: number } | undefined> => {
    const call = await batches.read(wait.token);
    if (call === undefined) throw new FatalError('The call of the model is gone: it is in no batch.');
    return call.result === null ? undefined : { result: call.result as CallResult, ageMs: call.ageMs };
  };
  await wait.ended(
    async (ageSeconds) => {
      if ((await read()) !== undefined) return true;
      budget.checkBatch(ageSeconds);
      return false;
    },
    { limitSeconds },
  );
  let live = false;
  const result = await turn.step<ModelResponse | FailedCall>(
    'model',
    async () => {
      live = true;
      return inModelSpan(model, request, async () => {
        const ended = await read();
        if (ended === undefined) throw new Error('a call in a batch has ended without a result');
        return toResponse(ended.result, { model: name, ageMs: ended.ageMs }, stall);
      });
    },
    {
      input,
      usage: (recorded: Json) => toRecordedUsage(definition, recorded as ModelResponse | FailedCall),
    },
  );
  return { result, live, streamed: false, workMs: 0 };
}
