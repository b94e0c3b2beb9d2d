/** graphile-worker, a job engine, on the same PostgreSQL, with its batching on and jobs that do nothing. */
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { serveParent } from '../serve-parent.ts';

const connectionString = process.env['DATABASE_URL'] ?? '';
const logger = new Logger(() => () => undefined);

serveParent(async ({ jobs }: { jobs: number }) => {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  await utils.addJobs(Array.from({ length: jobs }, (_, n) => ({ identifier: 'noop', payload: { n } })));
  await utils.release();
  let left = jobs;
  const done = Promise.withResolvers<void>();
  const from = performance.now();
  const runner = await run({
    connectionString,
    logger,
    concurrency: 24,
    noHandleSignals: true,
    preset: { worker: { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    taskList: {
      noop: () => {
        left -= 1;
        if (left === 0) done.resolve();
      },
    },
  });
  await done.promise;
  // Stopping writes the last completions.
  await runner.stop();
  return { perSecond: (jobs * 1000) / (performance.now() - from) };
});
