/** Views of what happens, while very many tasks are stored and many are live: search, timeline, stats and feed. */
import { createFeedJob, createGetJob, createSendJob } from '../jobs.ts';
import { withRig, type Rig } from '../rig.ts';
import { ms, polling, type BenchCase, type Figure } from '../rounds.ts';
import { getPercentile } from '../../percentile.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { readUsage } from './costs.ts';
import { fillTasks } from './reads.ts';

/** BENCH_VIEW_TASKS and BENCH_VIEW_LIVE try the case with fewer tasks; such figures are not published. */
const stored = Number(process.env['BENCH_VIEW_TASKS'] ?? 1_000_000);
const live = Number(process.env['BENCH_VIEW_LIVE'] ?? 10_000);
const maxP99 = 50;
const feeds = 1_000;
/** Tasks that are sent while the feed is measured. */
const events = 200;
const reads = { connections: 4, seconds: 5 };

export const viewsCase: BenchCase = () =>
  withRig(async (rig) => {
    await fillTasks(rig.stack.pool, '', stored);
    // Two workers, because one runs at most 10,000 turns. The further ones are those of the feed.
    const concurrency = { WORKER_CONCURRENCY: String(live / 2 + 500), WORKER_OWNER_SHARE: '1' };
    const [api] = await Promise.all([
      rig.service('api'),
      rig.service('worker', concurrency),
      rig.service('worker', concurrency),
    ]);
    const job = createSendJob(api.url, 'wait', { returnImmediately: true }, { count: live, keepIds: true });
    const { ids } = await rig.load(job);
    await waitFor(
      `${live} running tasks`,
      async () => {
        const { rows } = await rig.stack.pool.query(
          `select count(*)::int as count from tasks where owner = 'anonymous' and state = 'TASK_STATE_WORKING'`,
        );
        return rows[0].count >= live;
      },
      polling,
    );
    const read = async (name: string, path: string): Promise<Figure[]> => {
      await rig.load(createGetJob(api.url, path, { ...reads, tasks: ids, seconds: 1 }));
      const { latencies } = await rig.load(createGetJob(api.url, path, { ...reads, tasks: ids }));
      return toFigures(name, latencies, maxP99);
    };
    const views = [
      ...(await read('search, newest 50', '/a2a/v1/search')),
      ...(await read('search for a text that no task has', '/a2a/v1/search?error=no+such+text')),
      ...(await read('timeline of a running task', '/a2a/v1/tasks/%TASK%/timeline')),
      ...(await read('stats', '/a2a/v1/stats')),
    ];
    const alone = await measureFeed(rig, api.url);
    const before = await readUsage(api);
    await rig.load(createFeedJob(api.url, feeds));
    const after = await readUsage(api);
    return [
      ...views,
      ...toFigures('feed, from an event to its arrival', alone, maxP99),
      ...toFigures(`feed next to ${feeds} others of the owner`, await measureFeed(rig, api.url)),
      {
        name: 'a subscriber of the feed, held after a collection',
        value: (after.held - before.held) / 1024 / feeds,
        unit: 'KB',
        target: { at: 'most', value: 30 },
      },
    ];
  });

function toFigures(name: string, { p50, p99 }: { p50: number; p99: number }, max?: number): Figure[] {
  return [ms(`${name}, p50`, p50), ms(`${name}, p99`, p99, max)];
}

/** Follows the feed while tasks are sent one after the other. */
async function measureFeed(rig: Rig, url: string): Promise<{ p50: number; p99: number }> {
  const controller = new AbortController();
  const response = await fetch(`${url}/a2a/v1/feed`, { signal: controller.signal });
  const latencies: number[] = [];
  const reading = (async () => {
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      for (const [, at = ''] of chunk.matchAll(/"at":"([^"]+)"/g))
        latencies.push(Date.now() - Date.parse(at));
    }
  })().catch(() => undefined);
  const configuration = { returnImmediately: true };
  await rig.load(createSendJob(url, 'wait', configuration, { connections: 1, count: events }));
  await waitFor('events', () => latencies.length >= events, polling);
  controller.abort();
  await reading;
  const sorted = latencies.toSorted((a, b) => a - b);
  return { p50: getPercentile(sorted, 0.5) ?? Number.NaN, p99: getPercentile(sorted, 0.99) ?? Number.NaN };
}
