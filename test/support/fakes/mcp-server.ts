/**
 * A real MCP server from npm ("everything") in a child process, behind a proxy that records every tool call:
 * its idempotency key, and whether its response went through.
 */
import {
  createServer,
  request,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import path from 'node:path';
import type { Cleanup } from '../cleanup.ts';
import { freePort } from '../network/ports.ts';
import { runNode, type RunningProcess } from '../processes/processes.ts';
import { waitFor } from '../wait-for.ts';

const require = createRequire(import.meta.url);
export const everythingFile = path.join(
  path.dirname(require.resolve('@modelcontextprotocol/server-everything/package.json')),
  'dist/index.js',
);

export interface RecordedCall {
  name: string;
  args: Record<string, unknown>;
  key: string;
  headers: IncomingHttpHeaders;
  answered: boolean;
}

export interface McpServer {
  readonly url: string;
  readonly calls: readonly RecordedCall[];
  /** Resolves to the call with this number, from 1, once it has arrived. */
  call(number: number): Promise<RecordedCall>;
  /** Refuses every request with this status. Undefined: refuses none. */
  refuse(status: number | undefined): void;
  /**
   * Kills the process and starts another on the same port, which knows no sessions. New requests wait until it listens:
   * a busy machine takes longer to start it than clients wait for a connection.
   */
  restart(): Promise<void>;
}

export async function startMcpServer(t: Cleanup): Promise<McpServer> {
  const calls: RecordedCall[] = [];
  let refusing: number | undefined;
  const proxy = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      if (refusing !== undefined) {
        outgoing.writeHead(refusing).end();
        return;
      }
      const body = Buffer.concat(chunks);
      const call = parseToolCall(body, incoming.headers);
      if (call !== undefined) calls.push(call);
      void started.then(() => forwardTo(incoming, outgoing, body, call));
    });
  });
  const forwardTo = (
    { method, headers, url }: IncomingMessage,
    outgoing: ServerResponse,
    body: Buffer,
    call: RecordedCall | undefined,
  ): void => {
    const forward = request({ host: '127.0.0.1', port, path: url, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
      answer.on('error', () => outgoing.destroy());
      outgoing.on('finish', () => {
        if (call !== undefined) call.answered = true;
      });
    });
    forward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => forward.destroy());
    forward.end(body);
  };
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port: proxyPort } = proxy.address() as AddressInfo;
  const port = await freePort();
  let running = await startEverything(t, port);
  let started = Promise.resolve();
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return {
    url: `http://127.0.0.1:${proxyPort}/mcp`,
    calls,
    call: (number) => waitFor(`tool call ${number}`, () => calls[number - 1]),
    refuse: (status) => (refusing = status),
    restart: () => {
      started = (async () => {
        running.child.kill('SIGKILL');
        await running.exited;
        running = await startEverything(t, port);
      })();
      return started;
    },
  };
}

function parseToolCall(body: Buffer, headers: IncomingHttpHeaders): RecordedCall | undefined {
  if (body.length === 0) return undefined;
  const { method, params } = JSON.parse(body.toString()) as {
    method?: string;
    params?: { name: string; arguments: Record<string, unknown>; _meta: Record<string, string> };
  };
  if (method !== 'tools/call' || params === undefined) return undefined;
  const key = params._meta['dev.longhaul/idempotencyKey'] ?? '';
  return { name: params.name, args: params.arguments, key, headers, answered: false };
}

async function startEverything(t: Cleanup, port: number): Promise<RunningProcess> {
  const running = runNode(t, [everythingFile, 'streamableHttp'], { env: { PORT: String(port) } });
  await running.line(/listening/);
  return running;
}
