/**
 * Limits of Google's services and list prices of us-central1 that the reckoning goes by; docs/scaling.md names the sources.
 * Prices are for orders of magnitude: look them up before you rely on them.
 */
export const limits = {
  /** Instances of one revision with Direct VPC egress: 100 to 200, by region. */
  instances: 100,
  /** Requests at once for one instance, as the manifests have them. */
  apiRequests: 500,
  dispatcherRequests: 200,
  /** Of one queue of Cloud Tasks. */
  dispatchesPerSecond: 500,
  /** The sizes of AlloyDB. */
  databaseCpus: [2, 4, 8, 16, 32, 64, 96, 128],
} as const;

/**
 * What one instance of the manifests' size bears; below what `npm run bench` shows, and worth measuring with a load of
 * one's own.
 */
export const rates = {
  apiRequestsPerSecond: 300,
  turnsPerSecond: 50,
  databaseRowsPerSecond: 1_000,
} as const;

/** US dollars; a month has 730 hours. */
export const prices = {
  instance: 50,
  databaseCpu: 135,
  millionCloudTasks: 0.4,
  millionPubSubMessages: 0.04,
  millionSpans: 0.2,
  gibibyteOfLogs: 0.5,
  gibibyteStored: 0.4,
} as const;

/** Instances and places are planned to be this full at most. */
export const fullness = 0.8;
