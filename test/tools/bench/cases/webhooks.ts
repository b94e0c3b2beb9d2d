/** Webhooks, signed and checked as always: from the timestamp of an event to the POST that tells of it. */
import { hooks } from '../jobs.ts';
import { withRig } from '../rig.ts';
import { ms, perSecond, type Case } from '../rounds.ts';

export const webhooks: Case = () =>
  withRig(async (rig) => {
    const [api] = await Promise.all([rig.service('api'), rig.service('worker'), rig.service('dispatcher')]);
    await rig.load(hooks(api.url, { count: 50 }));
    const idle = await rig.load(hooks(api.url, { count: 150 }));
    const many = await rig.load(hooks(api.url, { count: 1_500, connections: 32 }));
    return [
      ms('event to POST, idle, p50', idle.latencies.p50, 25),
      ms('event to POST, idle, p99', idle.latencies.p99, 100),
      perSecond('webhooks, 1,500 tasks with three each', many.perSecond),
    ];
  });
