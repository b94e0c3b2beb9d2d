/**
 * The cases with a slow or refusing model, and their conditions. Prints the measurements, and sets the exit code to 1 if a
 * condition does not hold.
 */
import { createCleanup } from '../../support/cleanup.ts';
import { createLimitingResponder, createRefusingResponder, createSlowResponder } from './responders.ts';
import { runLoad, type LoadOptions, type LoadResult } from './run.ts';

interface LoadCase {
  options: LoadOptions;
  /** Evaluates the conditions of the case, by name. */
  check: (result: LoadResult, options: LoadOptions) => Record<string, boolean>;
}

const cases: Record<string, LoadCase> = {
  /** A thousand tasks at once on one worker. A call takes 30 s, and the quota allows 100 calls a second. */
  slow: {
    options: {
      tasks: 1000,
      workers: 1,
      concurrency: 1000,
      requestsPerMinute: 6000,
      responder: createSlowResponder(30_000),
      boundMs: 120_000,
    },
    check: ({ completed, seconds, workers }, { tasks }) => ({
      'all tasks are completed': completed === tasks,
      'takes less than 50 s (quota and model take 40 s)': seconds < 50,
      'peak memory is below 500 MB': workers.every(({ peakRssMb }) => peakRssMb < 500),
      'event loop delay is below 50 ms (p99)': workers.every(({ delayP99Ms }) => delayP99Ms < 50),
    }),
  },
  /** A model that refuses a third of all calls without a retry delay. */
  refusing: {
    options: {
      tasks: 900,
      workers: 2,
      concurrency: 200,
      requestsPerMinute: 600,
      responder: createRefusingResponder({ share: 1 / 3, maxInARow: Infinity }),
      boundMs: 240_000,
    },
    check: ({ completed, answeredPerMinute, busiestSecond }, { tasks, requestsPerMinute }) => ({
      'all tasks are completed': completed === tasks,
      'answered calls are within a tenth of the quota':
        Math.abs(answeredPerMinute / requestsPerMinute - 1) < 0.1,
      // Half as many calls again are refused and cost nothing; five seconds of saved quota may be spent in one second.
      'no burst of calls': busiestSecond < (requestsPerMinute / 60) * (1.5 + 5),
    }),
  },
  /** A model that allows two thirds of the quota in the agent's definition, and returns a retry delay. */
  limiting: {
    options: {
      tasks: 600,
      workers: 2,
      concurrency: 200,
      requestsPerMinute: 900,
      responder: createLimitingResponder({ perMinute: 600 }),
      boundMs: 240_000,
    },
    check: ({ completed, answeredPerMinute, busiestSecond }, { tasks, requestsPerMinute }) => ({
      'all tasks are completed': completed === tasks,
      'answered calls are within a tenth of what the model allows':
        Math.abs(answeredPerMinute / 600 - 1) < 0.1,
      'no burst of calls': busiestSecond < (requestsPerMinute / 60) * (1.5 + 5),
    }),
  },
};

export const caseNames = Object.keys(cases);

export async function runModelCases(names: readonly string[]): Promise<void> {
  for (const [name, { options, check }] of Object.entries(cases)) {
    if (!names.includes(name)) continue;
    const t = createCleanup();
    try {
      const result = await runLoad(t, options);
      console.log(name, JSON.stringify(result, null, 1));
      for (const [condition, holds] of Object.entries(check(result, options))) {
        console.log(`${holds ? 'holds ' : 'MISSED'} ${condition}`);
        if (!holds) process.exitCode = 1;
      }
    } finally {
      await t.run();
    }
  }
}
