/**
 * The interactions of the offline model: created, run in the background or not, read, canceled, deleted. Held against
 * Google's reference (see wire.ts). Not supported: streams, agents' own steps, continuation tokens.
 */
import { randomUUID } from 'node:crypto';
import { GoogleError } from '../google-error.ts';
import { limitTokens, type Reply } from '../reply.ts';
import { estimateContentTokens, estimateTextTokens, type GenerateRequest } from '../wire.ts';
import { WebhookSender } from './webhooks.ts';
import {
  checkCreate,
  toGenerateRequest,
  toInputSteps,
  toOutputSteps,
  type CreateRequest,
  type InteractionRoute,
  type Status,
  type WireStep,
} from './wire.ts';

interface StoredInteraction {
  id: string;
  status: Status;
  request: CreateRequest;
  created: string;
  updated: string;
  /** The whole conversation before the reply. */
  context: WireStep[];
  steps: WireStep[];
  promptTokens: number;
  errors?: { message: string }[];
}

/** A fault of one method: the next `times` calls get the status. */
export interface MethodFault {
  method: InteractionRoute['method'];
  status: number;
  times: number;
}

/** Returns the reply to a request. Its `delayMs` is how long the model works. */
export type Answer = (request: GenerateRequest, model: string) => Promise<Reply>;

export class Interactions {
  readonly webhooks = new WebhookSender();
  /** Sends the webhook before the creation is answered. */
  early = false;
  readonly #answer: Answer;
  readonly #stored = new Map<string, StoredInteraction>();
  #faults: MethodFault[] = [];

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** All that were created and not deleted, oldest first. */
  list(): readonly Pick<StoredInteraction, 'id' | 'status' | 'request'>[] {
    return [...this.#stored.values()];
  }

  fail(fault: MethodFault): void {
    this.#faults.push(fault);
  }

  /** Forgets an interaction, as Google does when its retention is over. */
  expire(id: string): void {
    this.#stored.delete(id);
  }

  reset(): void {
    this.#stored.clear();
    this.#faults = [];
    this.early = false;
    this.webhooks.fault = undefined;
    this.webhooks.statuses.length = 0;
  }

  /** @throws {GoogleError} for what the API refuses */
  async handle(route: InteractionRoute, body: unknown): Promise<object> {
    const fault = this.#faults.find(({ method, times }) => method === route.method && times > 0);
    if (fault !== undefined) {
      fault.times -= 1;
      throw new GoogleError(fault.status);
    }
    if (route.method === 'create') return this.#create(checkCreate(body));
    const interaction = this.#find(route.id);
    if (route.method === 'delete') {
      this.#stored.delete(route.id);
      return {};
    }
    if (route.method === 'cancel') this.#cancel(interaction);
    return toResource(interaction);
  }

  async #create(request: CreateRequest): Promise<object> {
    const { previous_interaction_id: previousId, background = false, store = true } = request;
    const previous = previousId === undefined ? undefined : this.#find(previousId);
    const context = [
      ...(previous?.context ?? []),
      ...(previous?.steps ?? []),
      ...toInputSteps(request.input),
    ];
    checkResults(context);
    const generate = toGenerateRequest(request, context);
    const now = new Date().toISOString();
    const interaction: StoredInteraction = {
      id: `v1_${randomUUID()}`,
      status: 'in_progress',
      request,
      created: now,
      updated: now,
      context,
      steps: [],
      promptTokens: estimateContentTokens(generate.contents),
    };
    const reply = await this.#answer(generate, request.model ?? request.agent ?? '');
    if (reply.error !== undefined && !background) throw new GoogleError(reply.error.status, reply.error);
    if (store) this.#stored.set(interaction.id, interaction);
    const limited = limitTokens(reply, request.generation_config?.max_output_tokens);
    const work = this.#work(interaction, limited);
    if (!background || this.early) await work;
    else work.catch(() => undefined);
    return this.early
      ? { ...toResource(interaction), status: 'in_progress', steps: [] }
      : toResource(interaction);
  }

  async #work(interaction: StoredInteraction, reply: Reply): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, reply.delayMs ?? 0).unref());
    if (interaction.status !== 'in_progress') return;
    interaction.updated = new Date().toISOString();
    if (reply.error !== undefined) {
      interaction.status = 'failed';
      interaction.errors = [{ message: reply.error.message ?? 'An internal error has occurred.' }];
    } else {
      interaction.steps = toOutputSteps(reply.pieces);
      const calls = interaction.steps.some(({ type }) => type === 'function_call');
      interaction.status = calls
        ? 'requires_action'
        : reply.finishReason === 'MAX_TOKENS'
          ? 'incomplete'
          : 'completed';
    }
    const type = interaction.status === 'incomplete' ? 'completed' : interaction.status;
    for (const uri of interaction.request.webhook_config?.uris ?? []) {
      await this.webhooks.send(uri, `interaction.${type}`, interaction.id);
    }
  }

  /** Only a running background interaction is canceled. */
  #cancel(interaction: StoredInteraction): void {
    if (interaction.status !== 'in_progress') return;
    interaction.status = 'cancelled';
    interaction.updated = new Date().toISOString();
  }

  #find(id: string): StoredInteraction {
    const found = this.#stored.get(id);
    if (found === undefined) throw new GoogleError(404, { message: `Interaction ${id} was not found.` });
    return found;
  }
}

/** Each call needs its result before the conversation continues. */
function checkResults(steps: readonly WireStep[]): void {
  const results = new Set(steps.flatMap((step) => (step.type === 'function_result' ? [step.call_id] : [])));
  for (const step of steps) {
    if (step.type !== 'function_call' || results.has(step.id)) continue;
    throw new GoogleError(400, { message: `The function call ${step.id} has no function_result.` });
  }
}

function toResource({
  id,
  status,
  request,
  created,
  updated,
  steps,
  promptTokens,
  errors,
}: StoredInteraction): object {
  const output = estimateTextTokens(JSON.stringify(steps));
  const { model, agent, labels, previous_interaction_id: previous } = request;
  return {
    id,
    object: 'interaction',
    status,
    created,
    updated,
    ...(model === undefined ? { agent } : { model }),
    ...(labels !== undefined && { labels }),
    ...(previous !== undefined && { previous_interaction_id: previous }),
    steps,
    ...(errors !== undefined && { errors }),
    ...(status !== 'in_progress' && {
      usage: {
        total_input_tokens: promptTokens,
        total_output_tokens: output,
        total_thought_tokens: 0,
        total_tokens: promptTokens + output,
      },
    }),
  };
}
