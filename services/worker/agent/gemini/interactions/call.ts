/**
 * Gets one reply of the model through the Interactions API. A call in the background runs at Google, and its turn is
 * suspended meanwhile:
 *
 *   wait recorded ─▶ interaction created ─▶ step `interaction`: its id ─▶ suspended ─▶ ended ─▶ step `model`: its reply
 *   (the intent)     with labels and the      │                            by a poll, or by a webhook
 *                    address of a webhook     │                            that makes the wait due
 *                                             └─▶ failed: parked, as a failed call of generateContent
 *
 * If the worker dies between the creation and its record, the next run creates another interaction, unless a webhook has
 * reported the first one. A call in the foreground is a single step `model`, which runs again after a death.
 */
import { ApiError } from '@google/genai';
import { isGoogleAgent, runsInBackground } from '#shared/agent/model-api.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import { interactionStep } from '#shared/domain/wait.ts';
import type { StepContext } from '../../agent.ts';
import type { ModelWait } from '../../model-wait.ts';
import type { AskModelParts } from '../ask-model-parts.ts';
import { LimitError } from '../budget.ts';
import type { Conversation } from '../conversation/conversation.ts';
import { callWithRetries, type ModelCallParts, type ModelRequest } from '../model/call.ts';
import { toModelFailure } from '../model/failure.ts';
import { toRecordedUsage } from '../model/recorded-usage.ts';
import type { ModelResponse } from '../model/response.ts';
import { inModelSpan } from '../model/span.ts';
import type { FailedCall, Stall } from '../model/stall.ts';
import { cancelInteraction, createInteraction, getInteraction, type Interaction } from './client.ts';
import { selectInput, toParams, type CallSettings } from './request.ts';
import { hasEnded, toResponse } from './response.ts';

const waitStep = 'interaction-wait';

type Reply = { result: ModelResponse | FailedCall; live: boolean };

export async function callInteraction(parts: AskModelParts, stall: Stall): Promise<Reply> {
  const call = new InteractionCall(parts, stall);
  return runsInBackground(parts.definition.model) ? call.inBackground() : call.inForeground();
}

/** Remembers a reply that Google has stored, before it is added to the conversation. */
export function rememberStored(conversation: Conversation, { interaction }: ModelResponse): void {
  const content = conversation.contents.at(-1);
  if (interaction === undefined || content === undefined) delete conversation.stored;
  else conversation.stored = { id: interaction, content, parts: content.parts?.length ?? 0 };
}

class InteractionCall {
  readonly #parts: AskModelParts;
  readonly #stall: Stall;
  readonly #request: ModelRequest;

  constructor(parts: AskModelParts, stall: Stall) {
    this.#parts = parts;
    this.#stall = stall;
    const { definition, conversation, config } = parts;
    this.#request = { model: definition.model.name, contents: conversation.contents, config };
  }

  async inForeground(): Promise<Reply> {
    using deadline = this.#parts.budget.deadline();
    return this.#modelStep(async ({ signal, idempotencyKey }) => {
      await this.#checkLimits();
      const step = { idempotencyKey, signal: AbortSignal.any([signal, deadline]) };
      const created = await this.#create(step, { background: false, webhookUrl: undefined });
      return 'failed' in created ? created : toResponse(created, this.#request.model, this.#stall);
    });
  }

  async inBackground(): Promise<Reply> {
    const { turn } = this.#parts;
    const { model, contents } = this.#request;
    const wait = await turn.waitForModel(waitStep);
    let live = false;
    const created = await turn.step<{ id: string } | FailedCall>(
      interactionStep,
      async (step) => {
        live = true;
        if (wait.reported !== undefined) return { id: wait.reported };
        await this.#checkLimits();
        const interaction = await this.#create(step, {
          background: true,
          webhookUrl: this.#getWebhookUrl(wait),
        });
        return 'failed' in interaction ? interaction : { id: interaction.id };
      },
      { input: { model, contents: contents.length } },
    );
    if ('failed' in created) return { result: created, live };
    let ended: Interaction | undefined;
    await wait.ended(async (ageSeconds) => {
      const interaction = await this.#poll(created.id, ageSeconds);
      ended = interaction;
      return interaction !== undefined;
    });
    return this.#modelStep(async ({ signal }) => {
      const interaction = ended ?? (await this.#get(created.id, signal));
      return toResponse(interaction, model, this.#stall);
    });
  }

  /** Google calls only addresses with TLS; elsewhere the poll finds the end. */
  #getWebhookUrl({ webhookUrl }: ModelWait): string | undefined {
    const reachable = this.#parts.model.plainWebhooks || webhookUrl?.startsWith('https:') === true;
    return reachable ? webhookUrl : undefined;
  }

  /** Records the reply as a step `model`, as the calls of generateContent are recorded. */
  async #modelStep(run: (step: StepContext) => Promise<ModelResponse | FailedCall>): Promise<Reply> {
    const { turn, definition, model } = this.#parts;
    let live = false;
    const result = await turn.step<ModelResponse | FailedCall>(
      'model',
      async (step) => {
        live = true;
        return inModelSpan(model, this.#request, () => run(step));
      },
      {
        input: { model: this.#request.model, contents: this.#request.contents.length },
        usage: (recorded: Json) => toRecordedUsage(definition, recorded as ModelResponse | FailedCall),
      },
    );
    return { result, live };
  }

  async #checkLimits(): Promise<void> {
    const { checkCost, budget, spentToday } = this.#parts;
    await checkCost();
    if (budget.limitsOwner) budget.checkOwner(await spentToday());
  }

  /** Sends the whole conversation if Google no longer has the reply that this call continues. */
  async #create(
    { idempotencyKey, signal }: StepContext,
    settings: Omit<CallSettings, 'labels'>,
  ): Promise<Interaction | FailedCall> {
    const { model, conversation, quota, partnerWaits, turn } = this.#parts;
    const { client } = model;
    const occurrence = /\d+$/.exec(idempotencyKey)?.[0] ?? '';
    const labels = {
      longhaul_task: turn.taskId,
      longhaul_turn: String(turn.number),
      longhaul_call: occurrence,
    };
    let input = selectInput(conversation);
    const callParts: ModelCallParts = {
      quota,
      partnerWaits,
      answer: undefined,
      signal,
      stall: this.#stall,
      trusted: conversation.spent.calls > 0,
    };
    return callWithRetries<Interaction>(model, this.#request, callParts, (observe) => ({
      usage: () => ({}),
      run: async () => {
        const send = (): Promise<Interaction> =>
          createInteraction(client, toParams(this.#request, input, { ...settings, labels }), {
            signal,
            prompt: settings.background,
            observe,
          });
        const interaction = await send().catch((error: unknown) => {
          if (input.previous === undefined || !isGone(error)) throw error;
          input = { contents: conversation.contents, previous: undefined };
          return send();
        });
        return () => interaction;
      },
    }));
  }

  /** Returns the interaction once it has ended; undefined if it runs, or if Google cannot be asked now. */
  async #poll(id: string, ageSeconds: number): Promise<Interaction | undefined> {
    const { budget, model, turn } = this.#parts;
    try {
      budget.checkWork(ageSeconds * 1000);
    } catch (error) {
      if (error instanceof LimitError) {
        // It may have ended: then it stays as it is.
        await cancelInteraction(model.client, id, turn.signal).catch(() => turn.signal.throwIfAborted());
      }
      throw error;
    }
    try {
      const interaction = await this.#get(id, turn.signal);
      return hasEnded(interaction) ? interaction : undefined;
    } catch (error) {
      turn.signal.throwIfAborted();
      if (error instanceof FatalError) throw error;
      return undefined;
    }
  }

  /** @throws {FatalError} if the interaction is gone */
  async #get(id: string, signal: AbortSignal): Promise<Interaction> {
    try {
      return await getInteraction(this.#parts.model.client, id, signal);
    } catch (error) {
      signal.throwIfAborted();
      const { model } = this.#request;
      if (isGone(error)) {
        const what = isGoogleAgent(model) ? 'agent' : 'model';
        throw new FatalError(`The call of the ${what} "${model}" is gone: Google no longer has it.`, {
          cause: error,
        });
      }
      const failure = toModelFailure(error, { model, status: null, retryAfter: null });
      if (failure.kind === 'fatal') throw new FatalError(failure.message, { cause: error });
      throw error;
    }
  }
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}
