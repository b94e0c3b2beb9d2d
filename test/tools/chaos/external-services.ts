/**
 * The services outside of the system: the tools that agents call, the model, and the webhook receivers. Each keeps its own
 * log, and fails on request.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { respond } from '#services/local/offline-model/responder.ts';
import { react } from '#services/local/offline-model/script.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import { getLastUserText, type GenerateRequest } from '#services/local/offline-model/wire.ts';
import type { SeededRandom } from './random.ts';

export interface LoggedToolCall {
  key: string;
  token: string;
  /** By the clock of the calling process. */
  at: number;
  pid: number;
  /** How many calls with this key are refused first. */
  failures: number;
  refused: boolean;
}

export interface LoggedModelCall {
  text: string;
  contents: number;
  at: number;
  /** The response failed on purpose. */
  failed: boolean;
}

export interface LoggedWebhook {
  taskId: string;
  seq: number;
  at: number;
  /** The receiver responded with success. */
  accepted: boolean;
}

export interface ExternalServices {
  readonly toolUrl: string;
  readonly modelUrl: string;
  readonly receiverUrl: string;
  readonly toolCalls: readonly LoggedToolCall[];
  readonly modelCalls: readonly LoggedModelCall[];
  readonly webhooks: readonly LoggedWebhook[];
  /** The services that fail from now on. Mutable. */
  readonly failing: { model: boolean; receivers: boolean; receiversDown: boolean };
  close(): Promise<void>;
}

export async function startExternalServices(
  createRandom: (stream: string) => SeededRandom,
): Promise<ExternalServices> {
  const failing = { model: false, receivers: false, receiversDown: false };
  const toolCalls: LoggedToolCall[] = [];
  const modelCalls: LoggedModelCall[] = [];
  const webhooks: LoggedWebhook[] = [];
  const modelRandom = createRandom('model');
  const receiverRandom = createRandom('receivers');

  const tools = await serve(async (request, response) => {
    const call = JSON.parse((await buffer(request)).toString()) as Omit<LoggedToolCall, 'refused'>;
    const refusals = toolCalls.filter((earlier) => earlier.key === call.key && earlier.refused).length;
    const refused = refusals < call.failures;
    toolCalls.push({ ...call, refused });
    response.writeHead(refused ? 500 : 200).end();
  });

  const model = await startOfflineModel({
    port: 0,
    responder: async (request: GenerateRequest) => {
      const text = getLastUserText(request);
      const reaction = failing.model
        ? modelRandom.pick<Parameters<typeof react>[0] | undefined>([
            [12, undefined],
            [2, { status: 429, retryDelay: '1s' }],
            [2, { status: 503, retryAfter: 1 }],
            [1, { status: 500, retryAfter: 1 }],
            [1, { status: 400 }],
            [1, { dropAfterChunks: 2 }],
            [1, { chunks: ['cut'], unfinished: true }],
            [1, { empty: true }],
            [1, { blockReason: 'SAFETY' }],
            [1, { finishReason: 'SAFETY' }],
            [1, { delayMs: 3000 }],
          ])
        : undefined;
      modelCalls.push({
        text,
        contents: request.contents.length,
        at: Date.now(),
        failed: reaction !== undefined,
      });
      return reaction === undefined ? respond(request) : react(reaction, () => respond(request));
    },
  });

  const receivers = await serve(async (request, response) => {
    await buffer(request);
    const taskId = String(request.headers['longhaul-task-id']);
    const seq = Number(request.headers['longhaul-event']);
    const reaction = failing.receiversDown
      ? 'hang_up'
      : failing.receivers
        ? receiverRandom.pick([
            [14, 'accept'],
            [2, 'refuse'],
            [1, 'busy'],
            [1, 'hang_up'],
            [1, 'accept_late'],
            [1, 'no_response'],
          ] as const)
        : 'accept';
    const accepted = reaction === 'accept' || reaction === 'accept_late';
    webhooks.push({ taskId, seq, at: Date.now(), accepted });
    if (reaction === 'hang_up') request.socket.destroy();
    else if (reaction === 'refuse') response.writeHead(500).end();
    else if (reaction === 'busy') response.writeHead(429, { 'retry-after': '1' }).end();
    else if (reaction === 'accept_late') setTimeout(() => response.writeHead(204).end(), 700);
    else if (reaction === 'accept') response.writeHead(204).end();
    // 'no_response': the dispatcher's timeout ends the request.
  });

  return {
    toolUrl: tools.url,
    modelUrl: model.url,
    receiverUrl: receivers.url,
    toolCalls,
    modelCalls,
    webhooks,
    failing,
    close: async () => {
      await Promise.all([tools.close(), receivers.close(), model.close()]);
    },
  };
}

async function serve(respond: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
  const server = createServer((request, response) => {
    respond(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
