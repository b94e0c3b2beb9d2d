/**
 * `npm run load`: what docs/load.md tells, measured again. With the names of cases after `--` it runs those alone.
 * Prints the figures; fails where one is not as it has to be.
 */
import type { Cleanup } from '../../support/processes/processes.ts';
import { limiting, refusing, slow } from './brains.ts';
import { runLoad, type Figures, type Load } from './run.ts';

interface Case {
  load: Load;
  /** What must hold, by name. */
  check: (figures: Figures, load: Load) => Record<string, boolean>;
}

const cases: Record<string, Case> = {
  /** A thousand tasks at once on one worker; a call takes 30 s, and 100 may begin in a second. */
  slow: {
    load: {
      tasks: 1000,
      workers: 1,
      concurrency: 1000,
      requestsPerMinute: 6000,
      responder: slow(30_000),
      boundMs: 120_000,
    },
    check: ({ completed, seconds, workers }, { tasks }) => ({
      'all are completed': completed === tasks,
      'within a quarter more than 40 s, which is what quota and model take': seconds < 50,
      'below 500 MB': workers.every(({ peakRssMb }) => peakRssMb < 500),
      'event loop delayed by less than 50 ms (p99)': workers.every(({ delayP99Ms }) => delayP99Ms < 50),
    }),
  },
  /** A model that refuses a third of all calls, without a word of when to come again. */
  refusing: {
    load: {
      tasks: 900,
      workers: 2,
      concurrency: 200,
      requestsPerMinute: 600,
      responder: refusing({ share: 1 / 3, inARow: Infinity }),
      boundMs: 240_000,
    },
    check: ({ completed, answeredPerMinute, busiestSecond }, { tasks, requestsPerMinute }) => ({
      'all are completed': completed === tasks,
      'answers within a tenth of the quota': Math.abs(answeredPerMinute / requestsPerMinute - 1) < 0.1,
      // Half as many again are refused and cost nothing; and what was saved in five seconds may be spent in one.
      'no storm of calls': busiestSecond < (requestsPerMinute / 60) * (1.5 + 5),
    }),
  },
  /** A model that allows two thirds of what the agent's definition believes, and tells when to come again. */
  limiting: {
    load: {
      tasks: 600,
      workers: 2,
      concurrency: 200,
      requestsPerMinute: 900,
      responder: limiting({ perMinute: 600 }),
      boundMs: 240_000,
    },
    check: ({ completed, answeredPerMinute, busiestSecond }, { tasks, requestsPerMinute }) => ({
      'all are completed': completed === tasks,
      'answers within a tenth of what the model allows': Math.abs(answeredPerMinute / 600 - 1) < 0.1,
      'no storm of calls': busiestSecond < (requestsPerMinute / 60) * (1.5 + 5),
    }),
  },
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !Object.hasOwn(cases, name));
if (unknown.length > 0) {
  console.error(`There is no case ${unknown.join(', ')}: use ${Object.keys(cases).join(', ')}`);
  process.exit(2);
}
for (const [name, { load, check }] of Object.entries(cases)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const cleanups: (() => unknown)[] = [];
  const t: Cleanup = { after: (cleanup) => void cleanups.unshift(cleanup) };
  try {
    const figures = await runLoad(t, load);
    console.log(name, JSON.stringify(figures, null, 1));
    for (const [what, holds] of Object.entries(check(figures, load))) {
      console.log(`${holds ? 'holds ' : 'MISSED'} ${what}`);
      if (!holds) process.exitCode = 1;
    }
  } finally {
    for (const cleanup of cleanups) await cleanup();
  }
}
process.exit();
