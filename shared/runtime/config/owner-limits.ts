/** Default limits of owners. Operators set the limits of single owners by command; see docs/limits.md. */
import type { OwnerLimits } from '../../domain/owner-limits.ts';
import type { EnvReader } from './env-reader.ts';

const unbounded = { min: 0, max: Number.MAX_SAFE_INTEGER };

export function readOwnerLimits(reader: EnvReader): OwnerLimits {
  return {
    concurrentTurns: reader.number('OWNER_MAX_CONCURRENT_TURNS', 0, unbounded),
    openTasks: reader.number('OWNER_MAX_OPEN_TASKS', 0, unbounded),
    storedBytes: reader.number('OWNER_MAX_STORED_BYTES', 0, unbounded),
    webhookConfigs: reader.number('OWNER_MAX_WEBHOOK_CONFIGS', 0, unbounded),
    webhookBytesPerHour: reader.number('OWNER_MAX_WEBHOOK_BYTES_PER_HOUR', 0, unbounded),
    modelCostPerDay: reader.number('OWNER_MAX_MODEL_COST_PER_DAY', 0, { ...unbounded, whole: false }),
  };
}
