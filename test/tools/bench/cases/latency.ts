/** Times of single tasks and events. */
import { createStreamJob } from '../jobs.ts';
import { withRig } from '../rig.ts';
import { ms, type BenchCase } from '../rounds.ts';

/** One task at a time, as a stream: from the request to the completed event, which a worker writes. */
export const latencyCase: BenchCase = () =>
  withRig(async (rig) => {
    const [api] = await Promise.all([rig.service('api'), rig.service('worker')]);
    await rig.load(createStreamJob(api.url, '', { count: 100 }));
    const { latencies } = await rig.load(createStreamJob(api.url, '', { count: 500 }));
    return [ms('whole task, p50', latencies.p50, 12), ms('whole task, p99', latencies.p99, 40)];
  });

/** From a worker's write to a subscriber of the api: the agent writes the time, and the load compares it. */
export const eventsCase: BenchCase = () =>
  withRig(async (rig) => {
    const [api] = await Promise.all([rig.service('api'), rig.service('worker')]);
    const measure = (connections: number, ticks: number) =>
      rig.load(createStreamJob(api.url, `ticks ${ticks}`, { connections, count: connections, events: true }));
    await measure(4, 50);
    const { latencies } = await measure(1, 200);
    const many = await measure(20, 100);
    return [
      ms('one stream, p50', latencies.p50, 5),
      ms('one stream, p99', latencies.p99, 30),
      ms('20 streams of 50 events a second, p50', many.latencies.p50),
      ms('20 streams of 50 events a second, p99', many.latencies.p99),
    ];
  });
