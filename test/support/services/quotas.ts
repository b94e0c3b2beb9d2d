/** Limits and quotas of owners for tests. */
import type { OwnerLimits } from '#shared/domain/owner-limits.ts';
import type { OwnerQuotas } from '#services/api/limits/owner-quotas.ts';

export const noLimits: OwnerLimits = {
  concurrentTurns: 0,
  openTasks: 0,
  storedBytes: 0,
  webhookConfigs: 0,
  webhookBytesPerHour: 0,
  modelCostPerDay: 0,
  schedules: 0,
};

/** Quotas that store everything and count nothing. */
export const unlimitedQuotas: OwnerQuotas = {
  store: (_owner, _wanted, { run }) => run(),
  free: () => undefined,
};
