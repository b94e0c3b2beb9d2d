/**
 * A model that needs no network. It serves the APIs of Gemini and Vertex AI, does simple work by fixed rules,
 * and says that it is offline.
 *
 *   POST /v1/interactions      GET | DELETE …/{id}      POST …/{id}/cancel      GET /.well-known/jwks.json (interactions/)
 *   POST …/models/{model}:batchGenerateContent      GET …/batches      GET | DELETE …/batches/{id}      POST …:cancel (batches/)
 *   POST …/models/{model}:generateContent | :streamGenerateContent?alt=sse | :countTokens      GET …/models[/{model}]
 *   GET | DELETE /__log         logged requests          POST | DELETE /__script      scripted replies (script.ts)
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { respond, type Responder } from './responder.ts';
import { Batches } from './batches/batches.ts';
import { parseBatchRoute } from './batches/wire.ts';
import { checkRequest } from './check-request.ts';
import { GoogleError } from './google-error.ts';
import { Interactions } from './interactions/interactions.ts';
import { sendEvents } from './interactions/send-events.ts';
import { parseInteractionRoute } from './interactions/wire.ts';
import { limitTokens, type Reply } from './reply.ts';
import { RequestLog, type LoggedRequest } from './request-log.ts';
import { react, Script, type ScriptRule } from './script.ts';
import { sendReply } from './send.ts';
import {
  getLastUserText,
  parseRoute,
  estimateContentTokens,
  type GenerateRequest,
  type ModelRoute,
} from './wire.ts';

export interface OfflineModel {
  readonly port: number;
  /** `http://127.0.0.1:port`, the value for GOOGLE_GEMINI_BASE_URL. */
  readonly url: string;
  readonly interactions: Interactions;
  readonly batches: Batches;
  log(): readonly LoggedRequest[];
  script(rules: readonly ScriptRule[]): void;
  /** Clears the script and the log. */
  reset(): void;
  close(): Promise<void>;
}

export interface OfflineModelOptions {
  /** 0: any free port. */
  port: number;
  /** Default: the rules of responder.ts. */
  responder?: Responder;
}

/** The limit of the real API for a request with inline data. */
const maxBodyBytes = 20 * 1024 * 1024;

export async function startOfflineModel({
  port,
  responder = respond,
}: OfflineModelOptions): Promise<OfflineModel> {
  const log = new RequestLog();
  const script = new Script();

  /** Returns the reply of a script, or else of the responder. */
  async function getReply(body: GenerateRequest, usual?: Reply): Promise<Reply> {
    const reaction = script.next(getLastUserText(body));
    const getNormalReply = () => usual ?? responder(body);
    return reaction === undefined ? getNormalReply() : react(reaction, getNormalReply);
  }

  const interactions = new Interactions(async (request, model, usual) => {
    log.add(describeRequest('interactions.create', model, request));
    return getReply(request, usual);
  });

  const batches = new Batches(async (request, model) => {
    log.add(describeRequest('batchGenerateContent', model, request));
    return getReply(request);
  }, interactions.webhooks);

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://model');
    const method = request.method ?? 'GET';
    switch (`${method} ${url.pathname}`) {
      case 'GET /health/live':
      case 'GET /health/ready':
        return sendJson(response, 200, { status: 'ok' });
      case 'GET /__log':
        return sendJson(response, 200, log.entries());
      case 'DELETE /__log':
        log.clear();
        return sendJson(response, 200, {});
      case 'POST /__script':
        script.add(await readJson(request));
        return sendJson(response, 200, {});
      case 'DELETE /__script':
        script.clear();
        return sendJson(response, 200, {});
      case 'GET /.well-known/jwks.json':
        return sendJson(response, 200, await interactions.webhooks.jwks());
    }
    const interaction = parseInteractionRoute(method, url.pathname);
    if (interaction !== undefined) {
      const body = interaction.method === 'create' ? await readJson(request) : undefined;
      const query = {
        stream: url.searchParams.get('stream') === 'true',
        lastEventId: url.searchParams.get('last_event_id') ?? undefined,
      };
      const handled = await interactions.handle(interaction, body, query);
      if ('body' in handled) return sendJson(response, 200, handled.body);
      return sendEvents(response, handled.events, interactions.cut?.() ?? Infinity);
    }
    const batch = parseBatchRoute(method, url.pathname);
    if (batch !== undefined) {
      const body = batch.method === 'batch.create' ? await readJson(request) : undefined;
      return sendJson(response, 200, await batches.handle(batch, body, url.searchParams));
    }
    const route = parseRoute(method, url.pathname);
    if (route === undefined)
      throw new GoogleError(404, { message: `The offline model does not serve ${method} ${url.pathname}.` });
    if (route.kind === 'list')
      return sendJson(response, 200, { models: [createModelCard('gemini-3.8-flash')] });
    if (!/^(gemini|gemma)-/.test(route.model)) {
      throw new GoogleError(404, {
        message: `models/${route.model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to see the list of available models and their supported methods.`,
      });
    }
    if (route.kind === 'get') return sendJson(response, 200, createModelCard(route.model));
    const stream = route.verb === 'streamGenerateContent';
    if (stream && url.searchParams.get('alt') !== 'sse') {
      throw new GoogleError(501, {
        message: 'The offline model streams only as server-sent events: add ?alt=sse.',
      });
    }
    await generate(route, checkRequest(await readJson(request), route), response);
  }

  async function generate(
    route: ModelRoute & { kind: 'call' },
    body: GenerateRequest,
    response: ServerResponse,
  ) {
    const promptTokens = estimateContentTokens([
      ...(body.systemInstruction ? [body.systemInstruction] : []),
      ...body.contents,
    ]);
    if (route.verb === 'countTokens') return sendJson(response, 200, { totalTokens: promptTokens });
    const started = performance.now();
    const entry = log.add(describeRequest(route.verb, route.model, body));
    const disconnected = new AbortController();
    let dropped = false;
    response.on('close', () => {
      entry.ms = Math.round(performance.now() - started);
      // A script can also close the connection.
      entry.aborted = !response.writableEnded && !dropped;
      disconnected.abort();
    });
    try {
      const reply = await getReply(body);
      dropped = reply.dropAfterChunks !== undefined;
      await sendReply(limitTokens(reply, body.generationConfig?.maxOutputTokens), {
        response,
        stream: route.verb === 'streamGenerateContent',
        model: route.model,
        promptTokens,
        entry,
        signal: disconnected.signal,
      });
    } catch (error) {
      if (disconnected.signal.aborted) return;
      entry.status = error instanceof GoogleError ? error.status : 500;
      throw error;
    }
  }

  const server = createServer((request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent) return response.destroy();
      const failure = error instanceof GoogleError ? error : new GoogleError(500, { message: String(error) });
      return sendJson(response, failure.status, failure, failure.headers);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', backlog: 4096 }, resolve);
  });
  const bound = (server.address() as AddressInfo).port;
  return {
    port: bound,
    url: `http://127.0.0.1:${bound}`,
    interactions,
    batches,
    log: () => log.entries(),
    script: (rules) => script.add(rules),
    reset() {
      script.clear();
      log.clear();
      interactions.reset();
      batches.reset();
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function describeRequest(verb: string, model: string, body: GenerateRequest) {
  return {
    verb,
    model,
    lastUserText: getLastUserText(body),
    contents: body.contents.length,
    tools: (body.tools ?? []).flatMap((tool) => tool.functionDeclarations ?? []).map(({ name = '' }) => name),
    functionResponses: (body.contents.at(-1)?.parts ?? []).flatMap(
      (part) => part.functionResponse?.name ?? [],
    ),
  };
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
  response.end(JSON.stringify(body));
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > maxBodyBytes) {
      throw new GoogleError(400, {
        message: `Request payload size exceeds the limit: ${maxBodyBytes} bytes.`,
      });
    }
    chunks.push(chunk as Buffer);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new GoogleError(400, { message: 'Invalid JSON payload received.' });
  }
}

function createModelCard(model: string) {
  return {
    name: `models/${model}`,
    displayName: `${model} (offline)`,
    description: 'Fixed rules on this machine, not a language model.',
    inputTokenLimit: 1_048_576,
    outputTokenLimit: 65_536,
    supportedGenerationMethods: ['generateContent', 'countTokens'],
  };
}
