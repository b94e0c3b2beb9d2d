/** Outages of the database that outlast the leases of workers. */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { getStepRuns, startScriptedStack } from '../../support/services/scripted-stack.ts';
import { startSilentProxy, type SilentProxy } from '../../support/network/silent-proxy.ts';
import { isCompleted } from '../../support/stack.ts';
import { waitFor } from '../../support/wait-for.ts';

const leaseSeconds = 2;

/** Two workers that reach the database through one proxy. The tool answers the steps when `release` is called. */
async function startWorkersBehindProxy(t: TestContext) {
  const { stack, tool } = await startScriptedStack(t, { LEASE_SECONDS: String(leaseSeconds) });
  const url = new URL(stack.databaseUrl);
  const proxy = await startSilentProxy(t, { host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  const env = { DATABASE_URL: url.href };
  const held = Promise.withResolvers<number>();
  tool.answerBy(() => held.promise);
  await Promise.all([stack.start('api'), stack.start('worker', env), stack.start('worker', env)]);
  return { stack, tool, proxy, release: () => held.resolve(200) };
}

async function letLeasesExpire(stack: { pool: { query(text: string): Promise<{ rows: unknown[] }> } }) {
  await waitFor('all leases to expire', async () => {
    const { rows } = await stack.pool.query(`select from gates where lease_until > now()
       union all select from extended_leases where lease_until > now()`);
    return rows.length === 0;
  });
}

// Row: the database is away for longer than the lease
describe('an outage of the database that outlasts the lease', () => {
  const ends: [name: string, answerDuringOutage: boolean][] = [
    ['keeps the results of steps that end during it', true],
    ['does not stop steps that outlast it', false],
  ];
  for (const [name, answerDuringOutage] of ends) {
    test(name, async (t) => {
      const { stack, tool, proxy, release } = await startWorkersBehindProxy(t);
      const tasks = await Promise.all(
        Array.from({ length: 5 }, () => stack.submit('step paid\nstep next\nsay done')),
      );
      await tool.count(5);
      await breakDatabase(stack, proxy, answerDuringOutage ? release : undefined);
      release();
      for (const { id } of tasks) {
        await stack.until(id, isCompleted);
        assert.deepEqual(getStepRuns(tool, id), ['1/paid/0', '1/next/0'], 'each step ran once');
      }
    });
  }

  async function breakDatabase(
    stack: Parameters<typeof letLeasesExpire>[0],
    proxy: SilentProxy,
    during?: () => void,
  ): Promise<void> {
    proxy.setDown(true);
    during?.();
    await letLeasesExpire(stack);
    proxy.setDown(false);
  }
});
