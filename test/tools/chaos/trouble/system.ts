/**
 * The system of a run: one api process, two workers and a dispatcher with the settings of production, whose partners
 * are all behind proxies. Each task fetches a file, calls the model, an MCP tool and the model again, and sends webhooks.
 */
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Pool } from 'pg';
import { startCloudTasksEmulator } from '#services/local/cloud-tasks-emulator/server.ts';
import { createResources } from '#services/local/emulator/resources.ts';
import { createCallReply, createTextReply } from '#services/local/offline-model/reply.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import { startPubSubEmulator } from '#services/local/pubsub-emulator/emulator.ts';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import type { Cleanup } from '../../../support/cleanup.ts';
import { createTestDatabase } from '../../../support/database/postgres.ts';
import { createMcpTool, startScriptedMcp } from '../../../support/fakes/scripted-mcp.ts';
import { listen } from '../../../support/network/listen.ts';
import { freePort } from '../../../support/network/ports.ts';
import { runNode } from '../../../support/processes/processes.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';

export const partners = [
  'database',
  'pubsub',
  'cloud-tasks',
  'model',
  'mcp-server',
  'receiver',
  'file-server',
] as const;

export type Partner = (typeof partners)[number];

export interface TroubleSystem {
  readonly apiUrl: string;
  readonly fileUrl: string;
  readonly receiverUrl: string;
  readonly proxies: Readonly<Record<Partner, FaultProxy>>;
  /** Reaches the database directly, also while it is read-only for others. */
  readonly pool: Pool;
  readonly errors: readonly string[];
}

/** Attempts follow soon enough to observe a recovery: by default, the third one comes after five minutes. */
const webhookSchedule = ['0', '5', ...Array.from({ length: 48 }, () => '15')].join();

export async function startTroubleSystem(t: Cleanup): Promise<TroubleSystem> {
  const [database, pubsub, tasks, mcp] = await Promise.all([
    createTestDatabase({ direct: true }),
    startPubSubEmulator({ port: 0 }),
    startCloudTasksEmulator({ port: 0 }),
    startScriptedMcp(t),
  ]);
  mcp.tools = [createMcpTool('look')];
  const model = await startOfflineModel({
    port: 0,
    responder: ({ contents }) =>
      contents.some(({ parts = [] }) => parts.some(({ functionResponse }) => functionResponse !== undefined))
        ? createTextReply('done')
        : createCallReply([{ name: 'look', args: {} }]),
  });
  t.after(async () => {
    await Promise.all([pubsub.close(), tasks.close(), model.close()]);
    await database.close();
  });
  const files = await listen(
    t,
    createServer((_request, response) => response.end('a file')),
  );
  const receiver = await listen(
    t,
    createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(204).end());
    }),
  );
  const getPort = (url: string): number => Number(new URL(url).port);
  const targets: Record<Partner, number> = {
    database: getPort(database.url),
    pubsub: getPort(`http://${pubsub.host}`),
    'cloud-tasks': tasks.port,
    model: model.port,
    'mcp-server': getPort(mcp.url),
    receiver: getPort(receiver),
    'file-server': getPort(files),
  };
  const entries = await Promise.all(
    partners.map(async (partner) => [partner, await startFaultProxy(t, targets[partner])] as const),
  );
  const proxies = Object.fromEntries(entries) as Record<Partner, FaultProxy>;
  const urlOf = (partner: Partner): string => `http://127.0.0.1:${proxies[partner].port}`;
  const databaseUrl = new URL(database.url);
  databaseUrl.port = String(proxies.database.port);

  const [apiPort, dispatcherPort] = [await freePort(), await freePort()];
  const apiUrl = `http://127.0.0.1:${apiPort}`;
  const env: Record<string, string> = {
    DATABASE_URL: databaseUrl.href,
    GOOGLE_CLOUD_PROJECT: 'longhaul-chaos',
    PUBSUB_EMULATOR_HOST: `127.0.0.1:${proxies.pubsub.port}`,
    CLOUD_TASKS_EMULATOR_HOST: `127.0.0.1:${proxies['cloud-tasks'].port}`,
    DISPATCHER_URL: `http://127.0.0.1:${dispatcherPort}`,
    GOOGLE_GEMINI_BASE_URL: urlOf('model'),
    GEMINI_API_KEY: 'offline',
    PUBLIC_URL: apiUrl,
    HOST: '127.0.0.1',
    WEBHOOK_ALLOW_HOSTS: '127.0.0.1',
    FILE_ALLOW_HOSTS: '127.0.0.1',
    ENCRYPTION_KEYS: `chaos:${randomBytes(32).toString('base64')}`,
    METADATA_SERVER_DETECTION: 'none',
    AGENT_FILE: writeAgentFile(t, {
      mcpServers: { all: { url: `${urlOf('mcp-server')}/mcp`, timeoutSeconds: 20 } },
    }),
    RATE_LIMIT_REQUESTS_PER_MINUTE: '0',
    WEBHOOK_SCHEDULE_SECONDS: webhookSchedule,
  };
  await createResources(env);
  const pool = new Pool({
    connectionString: database.url,
    max: 2,
    options: '-c default_transaction_read_only=off',
  });
  pool.on('error', () => undefined);
  t.after(() => pool.end());

  const errors: string[] = [];
  const start = async (kind: 'api' | 'worker' | 'dispatcher', port: number): Promise<void> => {
    const { child, line } = runNode(t, [`services/${kind}/main.ts`], { env: { ...env, PORT: String(port) } });
    child.stdout.on('data', (chunk: Buffer) => {
      for (const text of chunk.toString().split('\n')) {
        if (/"severity":"(ERROR|CRITICAL|WARNING)"/.test(text)) errors.push(`${kind}: ${text}`);
      }
    });
    await line(/"message":"ready"/);
  };
  await Promise.all([
    start('api', apiPort),
    start('worker', 0),
    start('worker', 0),
    start('dispatcher', dispatcherPort),
  ]);
  return {
    apiUrl,
    fileUrl: `${urlOf('file-server')}/file.txt`,
    receiverUrl: `${urlOf('receiver')}/hook`,
    proxies,
    pool,
    errors,
  };
}
