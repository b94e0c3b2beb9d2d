/** Refuses stored definitions that need more than the worker's own files allow. The files are read when the worker starts. */
import { findForeignPowers, type PowerfulPart, type Powers } from '#shared/agent/powers.ts';
import { RetryableError } from '#shared/domain/errors.ts';

/**
 * @throws {RetryableError} if the definition needs what this worker does not allow. The turn is retried for a while: another
 *   worker may be configured with the definition, as during a deploy
 */
export function checkPowers(
  definition: PowerfulPart,
  allowed: Powers,
  onRefused?: (foreign: readonly string[]) => void,
): void {
  const foreign = findForeignPowers(definition, allowed);
  if (foreign.length === 0) return;
  onRefused?.(foreign);
  throw new RetryableError('The definition of this agent needs what its worker does not allow.', {
    cause: new Error(`AGENT_FILE and AGENT_EARLIER_FILES do not have ${foreign.join(', ')}`),
  });
}
