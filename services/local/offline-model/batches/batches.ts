/** The batches of the offline model: created, run, polled, listed, canceled, deleted. They follow Google's reference (wire.ts). */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkRequest } from '../check-request.ts';
import { GoogleError } from '../google-error.ts';
import type { WebhookSender } from '../interactions/webhooks.ts';
import { limitTokens, type Reply } from '../reply.ts';
import { toResponseBody } from '../send.ts';
import { estimateContentTokens, type GenerateRequest } from '../wire.ts';
import {
  checkCreateBatch,
  type BatchRoute,
  type BatchState,
  type CreateBatchRequest,
  type WireRequest,
  type WireResponse,
} from './wire.ts';

/** A fault of one method: the next `times` calls get the status. */
export interface BatchFault {
  method: BatchRoute['method'];
  status: number;
  times: number;
  /** The call takes effect nevertheless: its answer is lost. */
  done?: boolean;
  /** Only calls whose body contains this text. */
  match?: string;
}

export interface StoredBatch {
  id: string;
  model: string;
  state: BatchState;
  request: CreateBatchRequest;
  createTime: string;
  updateTime: string;
  responses: WireResponse[];
}

/** How a batch ends instead of by its replies. */
export type BatchEnding = Extract<
  BatchState,
  'BATCH_STATE_FAILED' | 'BATCH_STATE_CANCELLED' | 'BATCH_STATE_EXPIRED'
>;

const codes: Record<number, number> = { 400: 3, 401: 16, 403: 7, 404: 5, 429: 8, 503: 14, 504: 4 };
const internal = 13;

export class Batches {
  /** All batches that end from now on end so. */
  ending: BatchEnding | undefined;
  /** How many were created, with those that are deleted. */
  created = 0;
  readonly #answer: (request: GenerateRequest, model: string) => Promise<Reply>;
  readonly #webhooks: WebhookSender;
  readonly #stored = new Map<string, StoredBatch>();
  #faults: BatchFault[] = [];

  constructor(answer: (request: GenerateRequest, model: string) => Promise<Reply>, webhooks: WebhookSender) {
    this.#answer = answer;
    this.#webhooks = webhooks;
  }

  /** All that were created and not deleted, oldest first. */
  list(): readonly StoredBatch[] {
    return [...this.#stored.values()];
  }

  fail(fault: BatchFault): void {
    this.#faults.push(fault);
  }

  /** Forgets a batch, as Google does when its retention is over. */
  expire(id: string): void {
    this.#stored.delete(id);
  }

  reset(): void {
    this.#stored.clear();
    this.#faults = [];
    this.ending = undefined;
    this.created = 0;
  }

  /** @throws {GoogleError} for what the API refuses */
  async handle(route: BatchRoute, body: unknown, query: URLSearchParams): Promise<object> {
    const fault = this.#faults.find(
      ({ method, times, match = '' }) =>
        method === route.method && times > 0 && (match === '' || JSON.stringify(body).includes(match)),
    );
    if (fault !== undefined) {
      fault.times -= 1;
      if (fault.done === true) this.#run(route, body, query);
      throw new GoogleError(fault.status);
    }
    return this.#run(route, body, query);
  }

  #run(route: BatchRoute, body: unknown, query: URLSearchParams): object {
    switch (route.method) {
      case 'batch.create':
        return this.#create(route.model, checkCreateBatch(body));
      case 'batch.list':
        return this.#listPage(query);
      case 'batch.get':
        return toOperation(this.#find(route.id));
      case 'batch.cancel':
        this.#end(this.#find(route.id), 'BATCH_STATE_CANCELLED');
        return {};
      case 'batch.delete':
        this.#find(route.id);
        this.#stored.delete(route.id);
        return {};
      default:
        return route satisfies never;
    }
  }

  #create(model: string, request: CreateBatchRequest): object {
    const now = new Date().toISOString();
    const batch: StoredBatch = {
      id: randomUUID(),
      model,
      state: 'BATCH_STATE_PENDING',
      request,
      createTime: now,
      updateTime: now,
      responses: [],
    };
    this.#stored.set(batch.id, batch);
    this.created += 1;
    this.#work(batch).catch(() => undefined);
    return toOperation(batch);
  }

  /** Ends when the slowest of its replies has. */
  async #work(batch: StoredBatch): Promise<void> {
    const replies = await Promise.all(
      batch.request.requests.map((request) => this.#reply(request, batch.model)),
    );
    batch.state = 'BATCH_STATE_RUNNING';
    const delayMs = Math.max(...replies.map(({ delayMs: ms }) => ms));
    if (delayMs > 0) await sleep(delayMs, undefined, { ref: false });
    if (batch.state !== 'BATCH_STATE_RUNNING') return;
    if (this.ending === undefined) batch.responses = replies.map(({ response }) => response);
    this.#end(batch, this.ending ?? 'BATCH_STATE_SUCCEEDED');
    await this.#report(batch);
  }

  async #reply(
    { request, metadata }: WireRequest,
    model: string,
  ): Promise<{ response: WireResponse; delayMs: number }> {
    const own = metadata === undefined ? {} : { metadata };
    try {
      const checked = checkRequest(request, { model, api: 'developer' });
      const reply = limitTokens(
        await this.#answer(checked, model),
        checked.generationConfig?.maxOutputTokens,
      );
      const { delayMs = 0, error } = reply;
      if (error !== undefined) return { response: { ...own, error: toStatus(error) }, delayMs };
      const { systemInstruction, contents } = checked;
      const promptTokens = estimateContentTokens([
        ...(systemInstruction ? [systemInstruction] : []),
        ...contents,
      ]);
      return { response: { ...own, response: toResponseBody(reply, { model, promptTokens }) }, delayMs };
    } catch (error) {
      if (!(error instanceof GoogleError)) throw error;
      return { response: { ...own, error: toStatus(error) }, delayMs: 0 };
    }
  }

  #end(batch: StoredBatch, state: BatchState): void {
    if (batch.state !== 'BATCH_STATE_PENDING' && batch.state !== 'BATCH_STATE_RUNNING') return;
    batch.state = state;
    batch.updateTime = new Date().toISOString();
  }

  async #report({ id, state, request }: StoredBatch): Promise<void> {
    const type = `batch.${state.slice('BATCH_STATE_'.length).toLowerCase()}`;
    const { uris, userMetadata } = request.webhookConfig ?? {};
    if (uris === undefined) await this.#webhooks.sendToProject(type, `batches/${id}`, userMetadata);
    for (const uri of uris ?? []) await this.#webhooks.send(uri, type, `batches/${id}`);
  }

  #listPage(query: URLSearchParams): object {
    const size = Number(query.get('pageSize') ?? 100);
    const start = Number(query.get('pageToken') ?? 0);
    const all = this.list();
    return {
      operations: all.slice(start, start + size).map(toOperation),
      ...(start + size < all.length && { nextPageToken: String(start + size) }),
    };
  }

  #find(id: string): StoredBatch {
    const found = this.#stored.get(id);
    if (found === undefined) throw new GoogleError(404, { message: `Batch ${id} was not found.` });
    return found;
  }
}

function toStatus({ status, message }: { status: number; message?: string | undefined }) {
  return { code: codes[status] ?? internal, message: message ?? new GoogleError(status).message };
}

/** A long-running operation, as the API returns it. */
function toOperation({ id, model, state, request, createTime, updateTime, responses }: StoredBatch): object {
  const done = state !== 'BATCH_STATE_PENDING' && state !== 'BATCH_STATE_RUNNING';
  const output =
    responses.length === 0 ? {} : { output: { inlinedResponses: { inlinedResponses: responses } } };
  return {
    name: `batches/${id}`,
    metadata: {
      name: `batches/${id}`,
      model: `models/${model}`,
      displayName: request.displayName,
      state,
      createTime,
      updateTime,
      ...(done && { endTime: updateTime }),
      batchStats: { requestCount: String(request.requests.length) },
      ...output,
    },
    done,
  };
}
