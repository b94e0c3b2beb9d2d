/** Typical loads. `npm run capacity` starts from `example`. */
import type { CapacityLoad } from './estimate.ts';
import { prices } from './prices.ts';

export const example: CapacityLoad = {
  tasksPerDay: 10_000,
  peak: 4,
  turnsPerTask: 1.2,
  turnSeconds: 120,
  modelCallsPerTurn: 6,
  inputTokensPerTurn: 20_000,
  outputTokensPerTurn: 3_000,
  requestsPerMinute: 0,
  tokensPerMinute: 0,
  readsPerTask: 10,
  openStreams: 100,
  webhooksPerTask: 3,
  receiverSeconds: 0.5,
  workerConcurrency: 100,
  poolSize: 10,
  databaseConnections: 1_000,
  retentionDays: 90,
  kilobytesPerTask: 40,
  inputPrice: prices.inputTokens,
  outputPrice: prices.outputTokens,
};

/** A team that tries an agent, a product with users, and a batch of documents each day. */
export const typicalLoads: Readonly<Record<string, { description: string; load: CapacityLoad }>> = {
  team: {
    description: 'a team: 200 tasks a day of two minutes',
    load: { ...example, tasksPerDay: 200, openStreams: 5 },
  },
  product: {
    description: 'a product: 10,000 tasks a day of two minutes, with questions',
    load: example,
  },
  documents: {
    description: 'documents: 500,000 tasks a day of 20 seconds, in a few hours',
    load: {
      ...example,
      tasksPerDay: 500_000,
      peak: 6,
      turnsPerTask: 1,
      turnSeconds: 20,
      modelCallsPerTurn: 1,
      inputTokensPerTurn: 8_000,
      outputTokensPerTurn: 500,
      readsPerTask: 0,
      openStreams: 0,
      webhooksPerTask: 1,
      retentionDays: 14,
      kilobytesPerTask: 20,
    },
  },
};
