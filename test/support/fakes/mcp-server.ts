/**
 * A real MCP server from npm ("everything") as a process, and a proxy before it that notes every call of a tool: under
 * which idempotency key, and whether its answer went through.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, request, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRequire } from 'node:module';
import path from 'node:path';
import { freePort } from '../ports.ts';
import type { Cleanup } from '../processes/processes.ts';

const require = createRequire(import.meta.url);
export const everythingFile = path.join(
  path.dirname(require.resolve('@modelcontextprotocol/server-everything/package.json')),
  'dist/index.js',
);

export interface ToolCall {
  name: string;
  args: Record<string, unknown>;
  key: string;
  headers: IncomingHttpHeaders;
  answered: boolean;
}

export interface McpServer {
  readonly url: string;
  readonly calls: readonly ToolCall[];
  /** Resolves when as many calls have come in. */
  call(count: number): Promise<ToolCall>;
  /** The status with which everything is refused; undefined: nothing is. */
  refuse(status: number | undefined): void;
  /** Ends the process as it is, and starts another on the same port, which knows no session. */
  restart(): Promise<void>;
}

export async function startMcpServer(t: Cleanup): Promise<McpServer> {
  const calls: ToolCall[] = [];
  const waiting = new Set<() => void>();
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
      const call = toolCallIn(body, incoming.headers);
      if (call !== undefined) calls.push(call);
      const { method, headers, url } = incoming;
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
      for (const look of waiting) look();
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port: proxyPort } = proxy.address() as AddressInfo;
  const port = await freePort();
  let child = await startEverything(port);
  t.after(() => {
    child.kill('SIGKILL');
    proxy.closeAllConnections();
    proxy.close();
  });
  return {
    url: `http://127.0.0.1:${proxyPort}/mcp`,
    calls,
    call: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          const call = calls[count - 1];
          if (call === undefined) return;
          waiting.delete(look);
          resolve(call);
        };
        waiting.add(look);
        look();
      }),
    refuse: (status) => (refusing = status),
    restart: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
      child = await startEverything(port);
    },
  };
}

function toolCallIn(body: Buffer, headers: IncomingHttpHeaders): ToolCall | undefined {
  if (body.length === 0) return undefined;
  const { method, params } = JSON.parse(body.toString()) as {
    method?: string;
    params?: { name: string; arguments: Record<string, unknown>; _meta: Record<string, string> };
  };
  if (method !== 'tools/call' || params === undefined) return undefined;
  const key = params._meta['dev.longhaul/idempotencyKey'] ?? '';
  return { name: params.name, args: params.arguments, key, headers, answered: false };
}

async function startEverything(port: number): Promise<ChildProcess> {
  const child = spawn(process.execPath, [everythingFile, 'streamableHttp'], {
    env: { PATH: process.env['PATH'], PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('listening')) resolve();
      });
    }
    child.once('exit', () => reject(new Error(`the MCP server ended: ${said}`)));
  });
  return child;
}
