/**
 * Model calls as steps. The stream of a model is passed on live; its responses are recorded, and only then used:
 *
 *   request ─▶ partial ─▶ partial ─▶ … ─▶ recorded ─▶ the responses
 */
import { randomUUID } from 'node:crypto';
import { AsyncQueue, type BaseLlm, type LlmRequest, type LlmResponse } from '@google/adk';
import { toModelUsage } from '#services/worker/agent/gemini/model/cost.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { toJson } from './entries.ts';
import { getScope, joinPath, nextStep, type Scope } from './scope.ts';

/** The branch of a request, which a model does not get. */
const branches = new WeakMap<LlmRequest, string>();

export function rememberBranch(request: LlmRequest, branch: string | undefined): void {
  if (branch !== undefined) branches.set(request, branch);
}

/** @param agent whose model it is */
export function toDurableModel(model: BaseLlm, agent: string): BaseLlm {
  const generate: BaseLlm['generateContentAsync'] = (request, stream, signal) => {
    const scope = getScope();
    return scope === undefined || scope.call !== undefined
      ? model.generateContentAsync(request, stream, signal)
      : generateInStep(scope, { model, agent, request, stream: stream ?? false });
  };
  return new Proxy(model, {
    get: (target, key) => {
      if (key === 'generateContentAsync') return generate;
      const value = Reflect.get(target, key, target) as unknown;
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

interface ModelCall {
  model: BaseLlm;
  agent: string;
  request: LlmRequest;
  stream: boolean;
}

async function* generateInStep(
  scope: Scope,
  { model, agent, request, stream }: ModelCall,
): AsyncGenerator<LlmResponse, void> {
  const { turn } = scope;
  const path = joinPath(scope, branches.get(request));
  const partials = new AsyncQueue<LlmResponse>();
  let modelError: unknown;
  const recorded = turn.step(
    'model',
    async ({ signal }) => {
      await turn.checkSpending();
      const responses: LlmResponse[] = [];
      try {
        for await (const response of model.generateContentAsync(request, stream, signal)) {
          if (response.partial === true) partials.push(response);
          else responses.push(withCallIds(response));
        }
      } catch (error) {
        signal.throwIfAborted();
        modelError = error;
        throw toTurnError(error);
      }
      return toJson(responses);
    },
    {
      ...nextStep(scope, 'model', agent, path),
      usage: (result) => readUsage(result, request.model ?? model.model, turn.definition),
    },
  );
  recorded.then(
    () => partials.close(),
    () => partials.close(),
  );
  yield* partials;
  try {
    yield* (await recorded) as unknown as LlmResponse[];
  } catch (error) {
    // A plugin may answer for the model.
    if (modelError === undefined) scope.fail(error);
    else scope.modelFailed(error);
    throw modelError ?? error;
  }
}

/** Calls get their ids before they are recorded: ADK would give them others each time that the turn runs. */
function withCallIds(response: LlmResponse): LlmResponse {
  for (const { functionCall } of response.content?.parts ?? []) {
    if (functionCall !== undefined) functionCall.id ??= `adk-${randomUUID()}`;
  }
  return response;
}

function readUsage(responses: Json, model: string, definition: JsonObject): ModelUsage | undefined {
  const counts = (responses as unknown as LlmResponse[]).findLast(
    ({ usageMetadata }) => usageMetadata,
  )?.usageMetadata;
  if (counts === undefined) return undefined;
  const { prices = {} } = definition as { prices?: AgentDefinition['prices'] };
  return toModelUsage(counts as unknown as JsonObject, model, prices);
}

/** A request that the model refuses is refused again. Other failures may pass, and the turn runs again later. */
function toTurnError(error: unknown): unknown {
  const { status, message } = (error ?? {}) as { status?: unknown; message?: unknown };
  const passes = [401, 403, 408, 409, 425, 429];
  const isRefused = typeof status === 'number' && status >= 400 && status < 500 && !passes.includes(status);
  return isRefused
    ? new FatalError(`The model refused the request: ${String(message)}`, { cause: error })
    : error;
}
