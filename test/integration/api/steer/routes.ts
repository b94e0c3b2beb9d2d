/** An api service with the routes that act on tasks and webhooks, over HTTP on a real database. */
import { createSecretKey } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { before } from 'node:test';
import { createAccept } from '#shared/db/tasks/accept.ts';
import { storeAgent } from '#shared/db/tasks/agents.ts';
import { createStatsReader } from '#shared/db/tasks/stats.ts';
import { createTurnWriter } from '#shared/db/turns/write.ts';
import { createTimelineFollower } from '#shared/db/views/timeline-follower.ts';
import type { Wakeup } from '#shared/domain/wakeup.ts';
import { readAuth } from '#shared/runtime/config/auth.ts';
import { EnvReader } from '#shared/runtime/config/env-reader.ts';
import { LargeWork } from '#shared/runtime/large-work.ts';
import { createPushConfigs } from '#services/api/handler/push-configs.ts';
import { PageTokens } from '#services/api/handler/page-token.ts';
import { createSend } from '#services/api/handler/send-message.ts';
import type { TasksRoutesParts } from '#services/api/extensions/tasks/routes.ts';
import { OpenStreams } from '#services/api/limits/open-streams.ts';
import { createSuiteCleanup } from '../../../support/cleanup.ts';
import { checkAnswers } from '../../../support/clients/openapi.ts';
import { createClaimedTask, newTurnEnd, type newTask } from '../../../support/database/new-task.ts';
import { connectToTestDatabase } from '../../../support/database/postgres.ts';
import { createLineLog } from '../../../support/processes/log-lines.ts';
import { aliceKey, apiKeysEnv, sha256 } from '../../../support/services/api-keys.ts';
import { startApiServer } from '../../../support/services/api-server.ts';
import { noLimits, unlimitedQuotas } from '../../../support/services/quotas.ts';
import { encryptor } from '../../../support/webhooks/webhooks.ts';
import type { AnyJson } from '../../../support/clients/any-json.ts';

export type Json = AnyJson;

const { db, pool } = await connectToTestDatabase();
const options = { idempotencyWindowSeconds: 60, wakeupGraceSeconds: 10 };
export const alice = { tenant: '', owner: 'key:alice' };
export const opsKey = { 'x-api-key': 'ops-key-of-a-test' };

export type Routes = ReturnType<typeof useRoutes>;

/** Starts the service before the tests of a suite. */
export function useRoutes() {
  const cleanup = createSuiteCleanup();
  const published: Wakeup[] = [];
  const timelines = createTimelineFollower(db, { pollMs: 20 });
  const { log, lines } = createLineLog();
  const streamEnds = new EventEmitter();
  const write = createTurnWriter(db, options);
  const accept = createAccept(db, options);
  let url = '';

  before(async () => {
    const env = apiKeysEnv();
    const pageTokens = new PageTokens([{ id: 'k', key: createSecretKey(Buffer.alloc(32)) }]);
    const common = {
      db,
      outbox: {
        publish: (wakeups: readonly Wakeup[]) => void published.push(...wakeups),
        publishAll: async () => undefined,
        idle: async () => undefined,
      },
      encryptor,
      quotas: unlimitedQuotas,
      wakeupGraceSeconds: 10,
      webhookRequestsPerMinute: 0,
      webhookGuard: { allowHosts: ['localhost'], ownHosts: [] },
      pageTokens,
      log,
    };
    const send = createSend({
      ...common,
      accept,
      storeDefinition: async () => {
        await storeAgent(db, 'h', {});
        return 'h';
      },
      taskSeconds: undefined,
      serviceTiers: [],
      mediaTypes: { input: ['text/plain'], output: ['text/plain'] },
      idempotencyWindowSeconds: 60,
      pushConfigs: createPushConfigs(common),
      largeWork: new LargeWork(),
      messageLimits: { parts: 100, urlParts: 20, partBytes: 10_000 },
      maxMessageBytes: 100_000,
    });
    const streams = new OpenStreams({ all: 10, perCaller: 10 });
    const open = streams.open.bind(streams);
    streams.open = (...call) => {
      const close = open(...call);
      return () => {
        close();
        streamEnds.emit('end');
      };
    };
    ({ url } = await startApiServer(
      cleanup,
      {},
      {
        auth: readAuth(
          new EnvReader({
            ...env,
            API_KEYS: `${env['API_KEYS']},ops:${sha256(opsKey['x-api-key'])} scopes=read+send+operator`,
          }),
        ),
        log,
        ops: { db, ownerLimits: { ...noLimits, openTasks: 1 }, log },
        tasks: {
          ...common,
          send,
          timelines,
          streams,
          feed: {} as TasksRoutesParts['feed'],
          readStats: createStatsReader(db),
        },
        webhooks: { ...common, getLimits: async () => noLimits, signing: { keys: [] } },
      },
    ));
    await checkAnswers(cleanup, url);
  });

  async function request(
    path: string,
    { headers = aliceKey, body }: { headers?: Record<string, string>; body?: object | undefined } = {},
  ): Promise<Response> {
    return fetch(`${url}/a2a/v1${path}`, {
      headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
    });
  }

  return {
    db,
    pool,
    write,
    accept,
    /** The wake-ups that the service has published. */
    published,
    /** The lines of its log. */
    lines,
    /** Emits `end` for each stream that has ended. */
    streamEnds,
    request,
    call: async (
      path: string,
      body?: object,
      headers: Record<string, string> = aliceKey,
    ): Promise<{ status: number; body: Json }> => {
      const response = await request(path, { headers, body });
      return { status: response.status, body: await response.json() };
    },
    createFailedTask: async (more: Parameters<typeof newTask>[0] = {}): Promise<string> => {
      const { lease } = await createClaimedTask(db, { ...alice, ...more });
      await write({ lease, finish: newTurnEnd(lease.taskId, 'TASK_STATE_FAILED') });
      return lease.taskId;
    },
    readTask: (id: string) =>
      db.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
  };
}
