/**
 * `npm run soak`: a constant mixed load at half of what the machine can do, with retention on, for 30 minutes, `-- --minutes N`
 * (at least 5) or `-- --hours N`. Samples memory and CPU time of each service, table and index sizes, dead rows and p99, and writes
 * them as soak.svg and soak.json to docs/bench, or to `--out DIR`. Exits with 1 if one of them rises in the last two thirds of the run.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { startServer, withRig } from '../bench/rig.ts';
import type { MixJob, MixResult } from './load.ts';
import { plotSeries, type Series } from './plot.ts';
import { getKind, isJudged, kinds, takeSample, type Sample } from './sample.ts';
import { getTrend, isRising } from './trend.ts';

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string' },
    hours: { type: 'string' },
    out: { type: 'string', default: path.join(import.meta.dirname, '../../../docs/bench') },
  },
});
const minutes = flags.hours === undefined ? Number(flags.minutes ?? 30) : 60 * Number(flags.hours);
// In a shorter run, the services still warm up in the part that is judged.
if (!(minutes >= 5 && minutes <= 7 * 24 * 60)) {
  console.error(
    'the duration is not valid: expected --minutes N or --hours N, from 5 minutes to 7 days. Shorter runs always report growth.',
  );
  process.exit(2);
}
/** A sample a minute, at least 30 and at most 300. */
const samples = Math.min(300, Math.max(30, Math.round(minutes)));
const sampleSeconds = (60 * minutes) / samples;
/** Tasks, and what finds repeats of their messages, are removed after this share of the run, so that sizes are steady after the first third. */
const retentionShare = 1 / 6;
const retentionSeconds = 60 * minutes * retentionShare;
const judgedFrom = Math.ceil(samples / 3);
/** After the last sample, in which webhooks of the last calls arrive. */
const settleSeconds = 10;

const server = await startServer();
let taken: Sample[];
let failures = 0;
let missingWebhooks = 0;
try {
  taken = await withRig(
    async (rig) => {
      const [api, worker, dispatcher, load] = await Promise.all([
        rig.service('api'),
        rig.service('worker', { WORKER_OWNER_SHARE: '1' }),
        rig.service('dispatcher'),
        rig.helper(path.join(import.meta.dirname, 'load.ts')),
      ]);
      const run = async (seconds: number, rate: number | undefined) => {
        const mix = await load.ask<MixResult>({ url: api.url, seconds, rate } satisfies MixJob);
        missingWebhooks += mix.expectedWebhooks - mix.webhooks;
        return mix;
      };
      await run(10, undefined);
      const warm = await run(10, undefined);
      const { perSecond } = warm;
      const rate = perSecond / 2;
      console.log(`${perSecond.toFixed(0)} calls a second; ${minutes} minutes with ${rate.toFixed(0)}`);
      const all: Sample[] = [];
      const services = { api, worker, dispatcher };
      const cpuMs = new Map<string, number>();
      // Leaves out the CPU time of their start.
      await takeSample(services, rig.stack.pool, warm, cpuMs);
      for (let at = 0; at < samples; at++) {
        const mix = await run(sampleSeconds, rate);
        failures += mix.failures;
        all.push(await takeSample(services, rig.stack.pool, mix, cpuMs));
        console.log(
          `${(((at + 1) * sampleSeconds) / 60).toFixed(1)} min: p99 ${mix.acceptP99.toFixed(0)} / ${mix.wholeP99.toFixed(0)} ms, ${mix.webhooks} webhooks, ${mix.failures} failures`,
        );
      }
      // A call a second keeps the process counting.
      await run(settleSeconds, 1);
      return all;
    },
    {
      RETENTION_DAYS: String(retentionSeconds / 86_400),
      IDEMPOTENCY_WINDOW_SECONDS: String(Math.ceil(retentionSeconds)),
    },
  );
} finally {
  await server.stop();
}

const series = Object.keys(taken.at(-1) ?? {}).flatMap((name): Series[] => {
  const values = taken.map((sample) => sample[name] ?? 0);
  if (!isJudged(name, values)) return [];
  const { unit, allowed } = kinds[getKind(name)];
  return [{ name, unit, values, isFinding: isRising(getTrend(values.slice(judgedFrom)), allowed) }];
});
mkdirSync(flags.out, { recursive: true });
writeFileSync(
  path.join(flags.out, 'soak.json'),
  `${JSON.stringify({ minutes, failures, samples: taken })}\n`,
);
writeFileSync(path.join(flags.out, 'soak.svg'), plotSeries(series, minutes, judgedFrom));

for (const { name, values, unit, isFinding } of series) {
  if (!isFinding) continue;
  const { growth } = getTrend(values.slice(judgedFrom));
  console.error(`${name} rises by ${(100 * growth).toFixed(0)}%, to ${values.at(-1)?.toFixed(1)} ${unit}`);
}
if (failures > 0) console.error(`${failures} calls failed`);
// Those of the last call may be on their way.
const hasAllWebhooks = missingWebhooks <= 3;
if (!hasAllWebhooks) console.error(`${missingWebhooks} webhooks have not arrived`);
const isClean = failures === 0 && hasAllWebhooks && series.every(({ isFinding }) => !isFinding);
console.log(isClean ? 'nothing rises' : 'findings: see above');
process.exit(isClean ? 0 : 1);
