/** Waits for partners of an agent that no status shows. */
import { PartnerWaits } from '#services/worker/agent/partner-waits.ts';

export const unreportedWaits = new PartnerWaits(
  { taskId: '', number: 1, progress: async () => undefined },
  60_000,
);
