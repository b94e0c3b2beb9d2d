/**
 * The interactions of the offline model: created, run in the background or not, streamed, read, canceled, deleted. They
 * follow Google's reference (see wire.ts and docs/develop/gemini.md).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GoogleError } from '../google-error.ts';
import { limitTokens, type Reply } from '../reply.ts';
import { estimateContentTokens, type GenerateRequest } from '../wire.ts';
import { cite, decorateReply, getPlan, getToolSteps } from './agents.ts';
import { checkCreate } from './check-create.ts';
import { getEndStatus, toResource, type StoredInteraction } from './resource.ts';
import { EventLog, PieceWriter, type StreamEvent } from './stream.ts';
import { WebhookSender } from './webhooks.ts';
import {
  toGenerateRequest,
  toInputSteps,
  toOutputSteps,
  type CreateRequest,
  type InteractionRoute,
  type WireStep,
} from './wire.ts';

/** A fault of one method: the next `times` calls get the status. `stream`: a GET that streams. */
export interface MethodFault {
  method: InteractionRoute['method'] | 'stream';
  status: number;
  times: number;
}

/**
 * Returns the reply to a request. Its `delayMs` is how long the model works.
 *
 * @param usual replaces the reply by the rules of the responder
 */
export type Answer = (request: GenerateRequest, model: string, usual: Reply | undefined) => Promise<Reply>;

/** The query of a GET. */
export interface StreamQuery {
  stream: boolean;
  lastEventId: string | undefined;
}

export type Handled = { body: object } | { events: AsyncGenerator<StreamEvent> };

export class Interactions {
  readonly webhooks = new WebhookSender();
  /** Sends the webhook before the creation is answered. */
  early = false;
  /** Refuses labels, as the Gemini API did in August 2026 (https://github.com/evansenter/genai-rs), and counts how often. */
  labels: 'taken' | { refused: number } = 'taken';
  /** How long an interaction is stored after its end, in milliseconds. Google: 55 days, on free plans one. */
  retentionMs = Infinity;
  /** After how many events the next connection of a stream breaks. */
  cut: (() => number) | undefined;
  /** How many streams were opened by GET, with the cursor of each. */
  readonly resumed: (string | undefined)[] = [];
  /** The environments of managed agents that no longer exist. */
  readonly expiredEnvironments = new Set<string>();
  readonly #answer: Answer;
  readonly #stored = new Map<string, StoredInteraction>();
  #faults: MethodFault[] = [];
  #hurry = new AbortController();

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** All that were created and not deleted, oldest first. */
  list(): readonly Pick<StoredInteraction, 'id' | 'status' | 'request' | 'updated' | 'environmentId'>[] {
    return [...this.#stored.values()];
  }

  fail(fault: MethodFault): void {
    this.#faults.push(fault);
  }

  /** Forgets an interaction, as Google does when its retention is over. */
  expire(id: string): void {
    this.#stored.delete(id);
  }

  /** Moves all times back, as if this time had passed, and forgets what was stored for too long. Calls that run continue. */
  pass(ms: number): void {
    const moveBack = (time: string): string => new Date(Date.parse(time) - ms).toISOString();
    for (const interaction of this.#stored.values()) {
      interaction.created = moveBack(interaction.created);
      interaction.updated = moveBack(interaction.updated);
      const isRunning = interaction.status === 'in_progress' || interaction.status === 'queued';
      if (!isRunning && Date.now() - Date.parse(interaction.updated) > this.retentionMs)
        this.expire(interaction.id);
    }
  }

  reset(): void {
    this.#stored.clear();
    this.#faults = [];
    this.early = false;
    this.labels = 'taken';
    this.retentionMs = Infinity;
    this.cut = undefined;
    this.resumed.length = 0;
    this.expiredEnvironments.clear();
    this.webhooks.fault = undefined;
    this.webhooks.statuses.length = 0;
  }

  /** @throws {GoogleError} for what the API refuses */
  async handle(route: InteractionRoute, body: unknown, query: StreamQuery): Promise<Handled> {
    this.#takeFault(query.stream && route.method === 'get' ? 'stream' : route.method);
    if (route.method === 'create') return this.#create(checkCreate(body));
    const interaction = this.#find(route.id);
    if (route.method === 'delete') {
      this.#stored.delete(route.id);
      return { body: {} };
    }
    if (route.method === 'cancel') this.cancel(route.id);
    if (query.lastEventId !== undefined && !query.stream) {
      throw new GoogleError(400, { message: 'last_event_id can only be used if stream is true.' });
    }
    if (route.method !== 'get' || !query.stream) return { body: toResource(interaction) };
    this.resumed.push(query.lastEventId);
    return { events: interaction.log.read(query.lastEventId) };
  }

  /** Lets all that run end now. */
  endAll(): void {
    this.#hurry.abort();
    this.#hurry = new AbortController();
  }

  /** Only a running background interaction is canceled. */
  cancel(id: string): void {
    const interaction = this.#find(id);
    if (interaction.status !== 'in_progress' && interaction.status !== 'queued') return;
    this.#setStatus(interaction, 'cancelled');
    interaction.log.end();
  }

  #takeFault(method: MethodFault['method']): void {
    const fault = this.#faults.find((each) => each.method === method && each.times > 0);
    if (fault === undefined) return;
    fault.times -= 1;
    throw new GoogleError(fault.status);
  }

  async #create(request: CreateRequest): Promise<Handled> {
    const { background = false, store = true, agent, model = agent ?? '', stream = false } = request;
    this.#checkLabels(request);
    const context = this.#getContext(request);
    const generate = toGenerateRequest(request, context);
    const environmentId = this.#getEnvironment(request);
    const now = new Date().toISOString();
    const interaction: StoredInteraction = {
      id: `v1_${randomUUID()}`,
      status:
        request.service_tier === 'flex' || request.service_tier === 'deferred' ? 'queued' : 'in_progress',
      request,
      created: now,
      updated: now,
      context,
      steps: [],
      promptTokens: estimateContentTokens(generate.contents),
      log: new EventLog(),
      ...(environmentId !== undefined && { environmentId }),
    };
    const answered = await this.#answer(generate, model, getPlan(request, generate));
    const reply = decorateReply(answered, request);
    if (reply.error !== undefined && !background) throw new GoogleError(reply.error.status, reply.error);
    if (store) this.#stored.set(interaction.id, interaction);
    const limited = limitTokens(reply, request.generation_config?.max_output_tokens);
    const { id, status } = interaction;
    interaction.log.append('interaction.created', { interaction: { ...toResource(interaction), status } });
    interaction.log.append('interaction.status_update', { interaction_id: id, status });
    const work = this.#work(interaction, limited);
    work.catch(() => undefined);
    if (stream) return { events: interaction.log.read(undefined) };
    const created = toResource(interaction);
    if (!background || this.early) await work;
    return { body: background ? created : toResource(interaction) };
  }

  /** @throws {GoogleError} 400 if they are refused */
  #checkLabels({ labels }: CreateRequest): void {
    if (labels === undefined || this.labels === 'taken') return;
    this.labels.refused += 1;
    throw new GoogleError(400, {
      message:
        'labels is not available on the Gemini API but it is available on the Gemini Enterprise Agent Platform.',
    });
  }

  /** @throws {GoogleError} 404 if the environment no longer exists */
  #getEnvironment({ environment }: CreateRequest): string | undefined {
    if (environment === undefined) return undefined;
    const known = typeof environment === 'string' ? environment : environment.environment_id;
    if (known === undefined || known === 'remote') return `env_${randomUUID()}`;
    if (this.expiredEnvironments.has(known)) {
      throw new GoogleError(404, { message: `Environment ${known} was not found.` });
    }
    return known;
  }

  /** @throws {GoogleError} if the conversation cannot be continued */
  #getContext(request: CreateRequest): WireStep[] {
    const { previous_interaction_id: previousId, continuation_token: token } = request;
    const previous = previousId === undefined ? undefined : this.#find(previousId);
    if (token !== undefined && previous?.continuationToken !== token) {
      throw new GoogleError(400, { message: 'The continuation_token does not belong to the interaction.' });
    }
    const context = [
      ...(previous?.context ?? []),
      ...(previous?.steps ?? []),
      ...toInputSteps(request.input),
    ];
    checkResults(context);
    return context;
  }

  async #work(interaction: StoredInteraction, reply: Reply): Promise<void> {
    const { request, log } = interaction;
    const { delayMs = 0, chunkDelayMs = 0, pieces, error } = reply;
    const { signal } = this.#hurry;
    const pause = (ms: number): Promise<void> =>
      sleep(ms, undefined, { ref: false, signal }).catch(() => undefined);
    if (interaction.status === 'queued') await pause(delayMs / 2);
    await pause(interaction.status === 'queued' ? delayMs / 2 : delayMs);
    if (isCanceled(interaction)) return;
    if (error === undefined) {
      const writer = new PieceWriter(log);
      const toolSteps = getToolSteps(request);
      for (const step of toolSteps) writer.writeStep(step);
      for (const piece of pieces) {
        // Without a stream, the whole reply comes at the end of the delay.
        if (request.stream === true && chunkDelayMs > 0) await pause(chunkDelayMs);
        if (isCanceled(interaction)) return;
        writer.write(piece);
      }
      writer.stop();
      const output = toOutputSteps(pieces);
      interaction.steps = toolSteps.length === 0 ? output : [...toolSteps, ...cite(output)];
    } else {
      const message = error.message ?? 'An internal error has occurred.';
      interaction.errors = [{ ...(error.status < 500 && { code: 'invalid_request' }), message }];
      log.append('error', { error: { code: String(error.status), message } });
    }
    const status = getEndStatus(interaction, reply);
    if (status === 'requires_continuation') interaction.continuationToken = `token_${interaction.id}`;
    this.#setStatus(interaction, status);
    log.end();
    const type = status === 'incomplete' ? 'completed' : status;
    const { uris, user_metadata: metadata } = request.webhook_config ?? {};
    if (uris === undefined)
      await this.webhooks.sendToProject(`interaction.${type}`, interaction.id, metadata);
    for (const uri of uris ?? []) await this.webhooks.send(uri, `interaction.${type}`, interaction.id);
  }

  #setStatus(interaction: StoredInteraction, status: StoredInteraction['status']): void {
    interaction.status = status;
    interaction.updated = new Date().toISOString();
    const resource = { ...toResource(interaction), steps: [] };
    interaction.log.append('interaction.completed', { interaction: resource });
  }

  #find(id: string): StoredInteraction {
    const found = this.#stored.get(id);
    if (found === undefined) throw new GoogleError(404, { message: `Interaction ${id} was not found.` });
    return found;
  }
}

function isCanceled({ status }: StoredInteraction): boolean {
  return status === 'cancelled';
}

/** Each call needs its result before the conversation continues. */
function checkResults(steps: readonly WireStep[]): void {
  const results = new Set(steps.flatMap((step) => (step.type === 'function_result' ? [step.call_id] : [])));
  for (const step of steps) {
    if (step.type !== 'function_call' || results.has(step.id)) continue;
    throw new GoogleError(400, { message: `The function call ${step.id} has no function_result.` });
  }
}
