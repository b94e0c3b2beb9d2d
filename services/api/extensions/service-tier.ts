/** The service tier extension: a task chooses among the tiers that its agent offers (docs/extensions/service-tier.md). */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { serviceTierExtension, type ServiceTier } from '#shared/domain/service-tier.ts';

/**
 * Checks the tier that a task asks for. The worker reads it from the metadata of the task.
 *
 * @param offered the tiers that tasks may choose
 * @throws {RequestMalformedError} if it is not one of them
 */
export function checkServiceTier(
  metadata: Record<string, unknown> | undefined,
  offered: readonly ServiceTier[],
): void {
  const tier = metadata?.[serviceTierExtension];
  if (tier === undefined || offered.some((each) => each === tier)) return;
  const accepted =
    offered.length === 0
      ? 'is not supported: this agent offers no service tiers'
      : `must be one of ${offered.join(', ')}`;
  throw new RequestMalformedError(`metadata["${serviceTierExtension}"] ${accepted}`);
}
