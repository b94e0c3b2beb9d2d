/**
 * DBOS, an engine of durable steps, on the same PostgreSQL. Its workflows of steps that do nothing are called as functions
 * of its process. The pool has the default size: larger ones were slower.
 */
import { DBOS } from '@dbos-inc/dbos-sdk';
import { serveParent } from '../serve-parent.ts';

const workflow = DBOS.registerWorkflow(
  async (steps: number) => {
    for (let step = 0; step < steps; step++) await DBOS.runStep(async () => null, { name: 'nothing' });
  },
  { name: 'steps' },
);

DBOS.setConfig({
  name: 'bench',
  systemDatabaseUrl: process.env['DATABASE_URL'] ?? '',
  logLevel: 'error',
});

serveParent(async ({ count, steps, atOnce }: { count: number; steps: number; atOnce: number }) => {
  if (!DBOS.isInitialized()) await DBOS.launch();
  let left = count;
  const from = performance.now();
  const run = async () => {
    while (left-- > 0) await workflow(steps);
  };
  await Promise.all(Array.from({ length: atOnce }, run));
  return { perSecond: (count * 1000) / (performance.now() - from) };
});
