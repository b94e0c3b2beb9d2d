/**
 * Default limits of owners. Operators set the limits of single owners by command; see docs/operate/limits.md. Without
 * authentication, all callers are one owner (a single machine, or a gateway that enforces its own limits), so
 * there are no limits unless they are set.
 */
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import type { EnvReader } from './env-reader.ts';

const gibibyte = 1024 ** 3;
const unbounded = { min: 0, max: Number.MAX_SAFE_INTEGER };

/** Whether callers are authenticated: otherwise all of them are one owner. */
export function isAuthenticated(reader: EnvReader): boolean {
  return reader.list('AUTH_MODES').some((mode) => mode !== 'none');
}

export function readOwnerLimits(reader: EnvReader): OwnerLimits {
  const authenticated = isAuthenticated(reader);
  const read = (name: string, fallback: number, whole = true) =>
    reader.number(name, authenticated ? fallback : 0, { ...unbounded, whole });
  return {
    // Workers are shared by need; see docs/operate/limits.md.
    concurrentTurns: read('OWNER_MAX_CONCURRENT_TURNS', 0),
    openTasks: read('OWNER_MAX_OPEN_TASKS', 10_000),
    storedBytes: read('OWNER_MAX_STORED_BYTES', 20 * gibibyte),
    webhookConfigs: read('OWNER_MAX_WEBHOOK_CONFIGS', 100_000),
    webhookBytesPerHour: read('OWNER_MAX_WEBHOOK_BYTES_PER_HOUR', gibibyte),
    modelCostPerDay: read('OWNER_MAX_MODEL_COST_PER_DAY', 100, false),
    schedules: read('OWNER_MAX_SCHEDULES', 1_000),
  };
}
