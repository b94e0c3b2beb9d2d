/**
 * The world outside: the tools that agents call, the model, and the receivers of webhooks. Each keeps a log of its own,
 * and goes wrong when it is told to.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { respond } from '#services/local/offline-model/responder.ts';
import { react } from '#services/local/offline-model/script.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import { lastUserText, type GenerateRequest } from '#services/local/offline-model/wire.ts';
import type { Chance } from './random.ts';

export interface ToolCall {
  key: string;
  token: string;
  /** By the clock of the process that called. */
  begun: number;
  pid: number;
  /** How often this key is refused first. */
  failures: number;
  refused: boolean;
}

export interface ModelCall {
  text: string;
  contents: number;
  at: number;
  /** The answer went wrong on purpose. */
  failed: boolean;
}

export interface Receipt {
  taskId: string;
  seq: number;
  at: number;
  /** The receiver said yes. */
  taken: boolean;
}

export interface Outside {
  readonly toolUrl: string;
  readonly modelUrl: string;
  readonly receiverUrl: string;
  readonly toolCalls: readonly ToolCall[];
  readonly modelCalls: readonly ModelCall[];
  readonly receipts: readonly Receipt[];
  /** What goes wrong from now on; all false: nothing. */
  readonly wrong: { model: boolean; receivers: boolean; receiversDown: boolean };
  close(): Promise<void>;
}

export async function startOutside(chanceOf: (stream: string) => Chance): Promise<Outside> {
  const wrong = { model: false, receivers: false, receiversDown: false };
  const toolCalls: ToolCall[] = [];
  const modelCalls: ModelCall[] = [];
  const receipts: Receipt[] = [];
  const modelChance = chanceOf('model');
  const receiverChance = chanceOf('receivers');

  const tools = await serve(async (request, response) => {
    const call = JSON.parse((await buffer(request)).toString()) as Omit<ToolCall, 'refused'>;
    const before = toolCalls.filter((one) => one.key === call.key && one.refused).length;
    const refused = before < call.failures;
    toolCalls.push({ ...call, refused });
    response.writeHead(refused ? 500 : 200).end();
  });

  const model = await startOfflineModel({
    port: 0,
    responder: async (request: GenerateRequest) => {
      const text = lastUserText(request);
      const reaction = wrong.model
        ? modelChance.pick<Parameters<typeof react>[0] | undefined>([
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
    const fate = wrong.receiversDown
      ? 'hang up'
      : wrong.receivers
        ? receiverChance.pick([
            [14, 'take'],
            [2, 'refuse'],
            [1, 'busy'],
            [1, 'hang up'],
            [1, 'take late'],
            [1, 'say nothing'],
          ] as const)
        : 'take';
    receipts.push({ taskId, seq, at: Date.now(), taken: fate === 'take' || fate === 'take late' });
    if (fate === 'hang up') request.socket.destroy();
    else if (fate === 'refuse') response.writeHead(500).end();
    else if (fate === 'busy') response.writeHead(429, { 'retry-after': '1' }).end();
    else if (fate === 'take late') setTimeout(() => response.writeHead(204).end(), 700);
    else if (fate === 'take') response.writeHead(204).end();
    // 'say nothing': the dispatcher's patience ends first
  });

  return {
    toolUrl: tools.url,
    modelUrl: model.url,
    receiverUrl: receivers.url,
    toolCalls,
    modelCalls,
    receipts,
    wrong,
    close: async () => {
      await Promise.all([tools.close(), receivers.close(), model.close()]);
    },
  };
}

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
  const server = createServer((request, response) => {
    answer(request, response).catch(() => request.socket.destroy());
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
