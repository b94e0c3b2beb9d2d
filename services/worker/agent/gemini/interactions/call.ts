/**
 * Gets one reply of the model through the Interactions API. A call in the background runs at Google, and its turn is
 * suspended meanwhile:
 *
 *   wait recorded ─▶ interaction created ─▶ step `interaction`: its id ─▶ suspended ─▶ ended ─▶ step `model`: its reply
 *   (the intent)     with labels and the      │                            by a poll, or by a webhook
 *                    address of a webhook     │                            that makes the wait due
 *                                             └─▶ failed: parked, as a failed call of generateContent
 *
 * If its text is streamed, the worker follows the stream instead of being suspended, until it is quiet (running-call.ts).
 * If the worker dies between the creation and its record, the next run creates another interaction, unless a webhook has
 * reported the first one: Google has neither keys for idempotency nor a list of interactions. If the first one is reported
 * later, it is used, and the other one is canceled.
 *
 * A call in the foreground is a single step `model`, which runs again after a death.
 */
import { ApiError, type GoogleGenAI } from '@google/genai';
import { FatalError } from '#shared/domain/errors.ts';
import type { Json } from '#shared/domain/message.ts';
import { interactionStep } from '#shared/domain/wait.ts';
import { instruments } from '#shared/runtime/instruments.ts';
import type { StepContext } from '../../agent.ts';
import type { ModelWait } from '../../model-wait.ts';
import type { AskModelParts } from '../ask-model-parts.ts';
import type { AnswerArtifact } from '../conversation/answer-artifact.ts';
import { callWithRetries, type ModelCallParts, type ModelRequest } from '../model/call.ts';
import { maxSilenceMs } from '../model/client.ts';
import { StreamCutError } from '../model/failure.ts';
import { toRecordedUsage } from '../model/recorded-usage.ts';
import { getResponseText, type ModelResponse } from '../model/response.ts';
import { inModelSpan } from '../model/span.ts';
import type { FailedCall, Stall } from '../model/stall.ts';
import {
  createInteraction,
  getInteraction,
  openNewInteraction,
  streamInteraction,
  type Interaction,
  type OpenedStream,
  type StreamedInteraction,
} from './client.ts';
import { followStream, type FollowOptions } from './follow.ts';
import { selectInput, toParams, type CallInput, type CallSettings, type WebhookTarget } from './request.ts';
import { toResponse, type EndedCall } from './response.ts';
import { isGone, RunningCall } from './running-call.ts';
import { isWhole } from './streamed-reply.ts';

const waitStep = 'interaction-wait';
const lostReply = 'The reply came in several parts, and Google no longer has the first ones.';

export interface InteractionReply {
  result: ModelResponse | FailedCall;
  /** True if the call was made in this run, not replayed from its record. */
  live: boolean;
  /** True if the text is already in the artifact. Undefined: the artifact knows. */
  streamed?: boolean;
  /** The time that counts as work of the turn, in milliseconds. Default: that of the result. */
  workMs?: number;
}

interface Opened {
  interaction: StreamedInteraction;
  opened: OpenedStream;
}
type Created = { interaction: Interaction } | Opened;

export class InteractionCall {
  readonly #parts: AskModelParts;
  readonly #stall: Stall;
  readonly #request: ModelRequest;

  constructor(parts: AskModelParts, stall: Stall) {
    this.#parts = parts;
    this.#stall = stall;
    const { definition, conversation, config } = parts;
    this.#request = { model: definition.model.name, contents: conversation.contents, config };
  }

  async inForeground(): Promise<InteractionReply> {
    const { budget, answer, model, definition } = this.#parts;
    // The end of a stream has no reply: it is read back, which only stored calls can be.
    const streams = this.#parts.streams && definition.model.store !== false;
    using deadline = budget.deadline();
    return this.#modelStep(async ({ signal, idempotencyKey }) => {
      await this.#checkLimits();
      const step = { idempotencyKey, signal: AbortSignal.any([signal, deadline]) };
      const call = { background: false, webhook: undefined, answer: streams ? answer : undefined };
      const ended = await this.#send(step, call, async (created, onEvent) =>
        'opened' in created
          ? readToEnd(model.client, created, answer, { signal: step.signal, onEvent })
          : created.interaction,
      );
      return 'failed' in ended ? ended : this.#toResponse({ interaction: ended });
    });
  }

  async inBackground(): Promise<InteractionReply> {
    const { turn, streams, definition, answer } = this.#parts;
    const { model, contents } = this.#request;
    const stream = streams && definition.model.stream === true;
    const wait = await turn.waitForModel(waitStep, { streams: stream });
    let live = false;
    let opened: OpenedStream | undefined;
    const created = await turn.step<{ id: string } | FailedCall>(
      interactionStep,
      async (step) => {
        live = true;
        if (wait.reported !== undefined) return { id: wait.reported };
        await this.#checkLimits();
        if (wait.known) instruments.modelCallsRepeated.record(1);
        const settings = { background: true, webhook: this.#getWebhook(wait) };
        const followed = { ...settings, answer: stream ? answer : undefined };
        const made = await this.#send(step, followed, async (started) => started);
        if ('failed' in made) return made;
        if ('opened' in made) ({ opened } = made);
        return { id: made.interaction.id };
      },
      { input: { model, contents: contents.length } },
    );
    if ('failed' in created) return { result: created, live };
    // A webhook has reported a call that another worker made before it died: that call is further.
    const isOther = wait.reported !== undefined && wait.reported !== created.id;
    const call = new RunningCall(wait.reported ?? created.id, opened, {
      client: this.#parts.model.client,
      model,
      budget: this.#parts.budget,
      wait,
      answer: stream ? answer : undefined,
      signal: turn.signal,
    });
    const ended = await call.ended();
    if (ended !== undefined && isOther) await call.cancelOther(created.id);
    const reply = await this.#modelStep(async () => this.#toResponse(ended ?? (await call.get())));
    if ('failed' in reply.result) return { ...reply, workMs: 0 };
    return { ...reply, workMs: 0, streamed: isWhole(wait.cursor(), getResponseText(reply.result)) };
  }

  #toResponse(ended: EndedCall): ModelResponse | FailedCall {
    const { definition, conversation } = this.#parts;
    return toResponse(ended, { model: definition.model, base: conversation.base }, this.#stall);
  }

  /** Google calls only addresses with TLS, and documents no webhooks on Google Cloud; there, polls find the end. */
  #getWebhook({ webhookUrl: url, token }: ModelWait): WebhookTarget | undefined {
    const { client, projectWebhooks, plainWebhooks } = this.#parts.model;
    if (client.vertexai) return undefined;
    if (projectWebhooks) return { token };
    return url !== undefined && (plainWebhooks || url.startsWith('https:')) ? { url } : undefined;
  }

  /** Records the reply as a step `model`, as the calls of generateContent are recorded. */
  async #modelStep(
    run: (step: StepContext) => Promise<ModelResponse | FailedCall>,
  ): Promise<InteractionReply> {
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

  /**
   * Creates the interaction. Sends the whole conversation if Google no longer has the reply that this call continues.
   *
   * @param call.answer the events of the call are read at once, and the text goes here; undefined: no stream is opened
   * @param finish what else belongs to a try
   */
  async #send<T extends object>(
    { idempotencyKey, signal }: StepContext,
    {
      answer,
      ...call
    }: Pick<CallSettings, 'background' | 'webhook'> & { answer: AnswerArtifact | undefined },
    finish: (created: Created, heard: () => void) => Promise<T>,
  ): Promise<T | FailedCall> {
    const { model, conversation, quota, partnerWaits, turn, definition, plans, googleServers } = this.#parts;
    const occurrence = /\d+$/.exec(idempotencyKey)?.[0] ?? '';
    const labels = {
      longhaul_task: turn.taskId,
      longhaul_turn: String(turn.number),
      longhaul_call: occurrence,
    };
    let input: CallInput = selectInput(conversation);
    const callParts: ModelCallParts = {
      quota,
      partnerWaits,
      answer,
      signal,
      stall: this.#stall,
      trusted: conversation.spent.calls > 0,
    };
    return callWithRetries<T>(model, this.#request, callParts, (observe, heard) => ({
      usage: () => ({}),
      run: async () => {
        const send = async (): Promise<Created> => {
          const settings = { ...call, labels, settings: definition.model, plans, googleServers };
          const params = toParams(this.#request, input, settings);
          const options = { signal, prompt: call.background, observe };
          if (answer !== undefined) return openNewInteraction(model.client, params, options);
          return { interaction: await createInteraction(model.client, params, options) };
        };
        const created = await send().catch((error: unknown) => {
          const { previous = input.environment } = input;
          if (previous === undefined || !mayLackPrevious(error)) throw error;
          if (input.continuation !== undefined)
            throw isGone(error) ? new FatalError(lostReply, { cause: error }) : error;
          input = { contents: conversation.contents, previous: undefined };
          return send();
        });
        const result = await finish(created, heard);
        return () => result;
      },
    }));
  }
}

/** Whether Google may not have the reply or the environment that a call continues. A request that is at fault is refused again without it. */
function mayLackPrevious(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 400 || error.status === 404);
}

/** Reads the stream of a call in the foreground to its end, and returns the call with its whole reply. */
async function readToEnd(
  client: GoogleGenAI,
  { interaction, opened }: Opened,
  answer: AnswerArtifact,
  options: Pick<FollowOptions, 'signal' | 'onEvent'>,
): Promise<Interaction> {
  let first: OpenedStream | undefined = opened;
  const open = async (after: string | undefined, bounded: AbortSignal): Promise<OpenedStream> => {
    const next = first ?? streamInteraction(client, interaction.id, after, bounded);
    first = undefined;
    return next;
  };
  const sink = { text: (text: string) => answer.write(text), summary: async () => undefined };
  const ended = await followStream(open, sink, { ...options, after: undefined, quietMs: maxSilenceMs });
  if (!ended) throw new StreamCutError('the stream ended before the call');
  return getInteraction(client, interaction.id, options.signal);
}
