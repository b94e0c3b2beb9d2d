/** A new version of an agent, whose steps have other names, replaces the old one under load. */
import assert from 'node:assert/strict';
import { createServer, request as sendRequest } from 'node:http';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { textOf } from '#shared/domain/message.ts';
import { listen } from '../../support/network/listen.ts';
import { createPubSubClient } from '../../support/pubsub/client.ts';
import { startStack, type RunningService, type Stack } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const agent = fileURLToPath(new URL('../../support/agents/versioned.ts', import.meta.url));
const isEnded = ({ status }: { status: { state: string } }): boolean => /COMPLETED|FAILED/.test(status.state);

test('a new version takes new tasks while the old one ends its own', async (t) => {
  const stack = await startStack(t, { AGENT_MODULE: agent });
  const start = (version: string) => stack.start('worker', { TEST_AGENT_VERSION: version });
  const [, old] = await Promise.all([stack.start('api'), start('1')]);
  await rollOut(t, stack, old, () => start('2'));
});

test('a new version takes new tasks in push mode, as long as both get requests', async (t) => {
  const stack = await startStack(t, { AGENT_MODULE: agent, WORKER_MODE: 'push', CALLER_AUTH: 'none' });
  const revisions: string[] = [];
  await pushTo(t, stack, await splitTraffic(t, revisions));
  const start = async (version: string) => {
    const worker = await stack.start('worker', { TEST_AGENT_VERSION: version, PORT: '0' });
    revisions.push(worker.url);
    return worker;
  };
  const [, , old] = await Promise.all([stack.start('api'), stack.start('dispatcher'), start('1')]);
  await rollOut(t, stack, old, () => start('2'));
});

/** Starts the new version under load, waits until the old one has no turns left, and stops it. */
async function rollOut(
  t: TestContext,
  stack: Stack,
  old: RunningService,
  startNew: () => Promise<RunningService>,
): Promise<void> {
  const ids: string[] = [];
  const sending = new AbortController();
  const load = (async () => {
    while (!sending.signal.aborted) {
      const tasks = await Promise.all(Array.from({ length: 4 }, () => stack.submit('work')));
      ids.push(...tasks.map(({ id }) => id));
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  })();
  await waitFor('turns of version 1', async () => {
    const { rows } = await stack.pool.query(`select from gates where agent_version = '1' limit 8`);
    return rows.length === 8;
  });
  await startNew();
  await old.running.line(/a newer version of the agent takes new turns/);
  const before = ids.length;
  await waitFor('tasks for version 2', async () => ids.length >= before + 20);
  sending.abort();
  await load;
  await waitFor('the end of the turns of version 1', async () => {
    const { rows } = await stack.pool.query(
      `select from gates where state_class = 0 and agent_version = '1' limit 1`,
    );
    return rows.length === 0;
  });

  const ended = await Promise.all(ids.map((id) => stack.until(id, isEnded)));
  await old.kill('SIGTERM');
  const ends = ended.map(({ status }) => textOf(status.message?.parts ?? []));
  const counts = Object.fromEntries(
    [...Map.groupBy(ends, (end) => end)].map(([end, all]) => [end, all.length]),
  );
  t.diagnostic(JSON.stringify(counts));
  assert.deepEqual(Object.keys(counts).toSorted(), ['by version 1', 'by version 2'], 'no task has failed');
  assert.ok(ends.slice(before).every((end) => end === 'by version 2'));
}

async function pushTo(t: TestContext, stack: Stack, url: string): Promise<void> {
  const pubsub = createPubSubClient(t, stack);
  await pubsub.topic('longhaul-turns').createSubscription('pushed', {
    pushConfig: { pushEndpoint: `${url}/turns` },
    ackDeadlineSeconds: 60,
  });
}

/** A front end that forwards requests to one revision after the other. */
function splitTraffic(t: TestContext, revisions: readonly string[]): Promise<string> {
  let count = 0;
  return listen(
    t,
    createServer((incoming, outgoing) => {
      const revision = revisions[count++ % revisions.length] ?? '';
      const { method, headers, url } = incoming;
      const forwarded = sendRequest(`${revision}${url}`, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      });
      forwarded.on('error', () => outgoing.destroy());
      incoming.pipe(forwarded);
    }),
  );
}
