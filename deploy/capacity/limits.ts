/** Limits of Google's services that the estimate uses. docs/operate/scaling.md lists the sources. */
export const limits = {
  /** Instances of one revision with Direct VPC egress: 100 to 200, depending on the region. */
  instances: 100,
  /** Concurrent requests of one instance, as in the manifests. */
  apiRequests: 500,
  dispatcherAttempts: 1_000,
  /** Rate of one Cloud Tasks queue. */
  dispatchesPerSecond: 500,
  /** vCPUs that AlloyDB offers. */
  databaseCpus: [2, 4, 8, 16, 32, 64, 96, 128],
} as const;

/**
 * Throughput of one instance with the resources of the manifests. Below the results of `npm run bench`;
 * measure it with your own load.
 */
export const rates = {
  apiRequestsPerSecond: 300,
  turnsPerSecond: 50,
  webhooksPerSecond: 500,
  databaseRowsPerSecond: 1_000,
} as const;

/** Largest planned utilization of instances and their request slots. */
export const targetUtilization = 0.8;
