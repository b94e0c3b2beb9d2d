/**
 * An MCP server (streamable HTTP, revision 2025-06-18) that a test controls: its list of tools, and the answer
 * to each call.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { JsonObject } from '#shared/domain/message.ts';
import type { Cleanup } from '../cleanup.ts';
import { listen } from '../network/listen.ts';
import { waitFor } from '../wait-for.ts';

/** A result or an error of JSON-RPC, or an HTTP response without a body. */
export type ScriptedAnswer =
  | { result: JsonObject }
  | { error: { code: number; message: string } }
  | { status: number; headers?: Record<string, string> };

export interface ScriptedMcp {
  readonly url: string;
  /** The names of the tools called so far. */
  readonly calls: readonly string[];
  /** The metadata of the last call. */
  readonly lastMeta: JsonObject;
  /** All parameters of the last call. */
  readonly lastParams: JsonObject;
  /** How often the list of tools was read. */
  readonly lists: number;
  /** Sets the list of tools. */
  tools: JsonObject[];
  /** Answers the call with this number, from 1. */
  answer: (call: number) => ScriptedAnswer | Promise<ScriptedAnswer>;
  /** Answers other methods, by name. Default: none. */
  methods: Record<string, (params: JsonObject) => ScriptedAnswer>;
  /** Answers a request for the list. Default: with `tools`. */
  answerList: () => ScriptedAnswer | Promise<ScriptedAnswer>;
  /** Notifies connected clients that the list of tools has changed. */
  announce(): Promise<void>;
  /** Notifies the client of the last call of its progress. */
  report(progress: JsonObject): Promise<void>;
  /** Sends a request to the client, and returns the response. */
  ask(method: string, params: JsonObject): Promise<JsonObject>;
}

interface Request {
  id?: number | string;
  /** A response has none. */
  method?: string;
  params?: JsonObject & { name?: string; _meta?: JsonObject & { progressToken?: number } };
}

const emptyObject = { type: 'object', properties: {} };

/** A tool of a list. */
export function createMcpTool(name: string, more: JsonObject = {}): JsonObject {
  return { name, inputSchema: emptyObject, annotations: { readOnlyHint: true }, ...more };
}

export const textResult = (text: string): ScriptedAnswer => ({
  result: { content: [{ type: 'text', text }] },
});

export async function startScriptedMcp(t: Cleanup): Promise<ScriptedMcp> {
  const calls: string[] = [];
  const streams = new Set<ServerResponse>();
  const asked = new Map<unknown, (response: JsonObject) => void>();
  let lists = 0;
  let progressToken = 0;
  let lastMeta: JsonObject = {};
  let lastParams: JsonObject = {};

  async function respond({ method = '', params }: Request): Promise<ScriptedAnswer> {
    const own = mcp.methods[method];
    if (own !== undefined) return own(params ?? {});
    switch (method) {
      case 'initialize': {
        const capabilities = { tools: { listChanged: true } };
        const serverInfo = { name: 'scripted', version: '1' };
        return { result: { protocolVersion: '2025-06-18', capabilities, serverInfo } };
      }
      case 'tools/list':
        lists += 1;
        return mcp.answerList();
      case 'tools/call':
        calls.push(params?.name ?? '');
        progressToken = params?._meta?.progressToken ?? 0;
        lastMeta = params?._meta ?? {};
        lastParams = params ?? {};
        return mcp.answer(calls.length);
      default:
        return { error: { code: -32_601, message: 'Method not found' } };
    }
  }

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    if (incoming.method === 'GET') {
      outgoing.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      streams.add(outgoing);
      outgoing.on('close', () => streams.delete(outgoing));
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer);
    if (incoming.method !== 'POST') return void outgoing.writeHead(405).end();
    const request = JSON.parse(Buffer.concat(chunks).toString()) as Request;
    asked.get(request.id)?.(request as unknown as JsonObject);
    if (request.id === undefined || request.method === undefined) return void outgoing.writeHead(202).end();
    const answer = await respond(request);
    if ('status' in answer) return void outgoing.writeHead(answer.status, answer.headers).end();
    outgoing.writeHead(200, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify({ jsonrpc: '2.0', id: request.id, ...answer }));
  }

  async function notify(notification: JsonObject): Promise<void> {
    await waitFor('a stream of notifications', () => streams.size > 0);
    const data = JSON.stringify({ jsonrpc: '2.0', ...notification });
    for (const stream of streams) stream.write(`event: message\ndata: ${data}\n\n`);
  }

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => outgoing.destroy());
  });
  const url = await listen(t, server);
  const mcp: ScriptedMcp = {
    url: `${url}/mcp`,
    calls,
    get lastMeta() {
      return lastMeta;
    },
    get lastParams() {
      return lastParams;
    },
    methods: {},
    get lists() {
      return lists;
    },
    tools: [],
    answer: () => textResult('done'),
    answerList: () => ({ result: { tools: mcp.tools } }),
    announce: () => notify({ method: 'notifications/tools/list_changed' }),
    report: (progress) =>
      notify({ method: 'notifications/progress', params: { progressToken, ...progress } }),
    ask: async (method, params) => {
      const id = `ask-${asked.size + 1}`;
      const { promise, resolve } = Promise.withResolvers<JsonObject>();
      asked.set(id, resolve);
      await notify({ id, method, params });
      return promise;
    },
  };
  return mcp;
}
