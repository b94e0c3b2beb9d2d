/** Refuses stored definitions that need more than the worker's own files allow. */
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { findForeignPowers, type Powers } from '#shared/agent/powers.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { Turn } from './agent.ts';

/**
 * @throws {RetryableError} if the definition needs what this worker does not allow. The turn is retried for a while: another
 *   worker may be configured with the definition, as during a deploy
 */
export function checkPowers(
  definition: AgentDefinition,
  allowed: Powers,
  { taskId, owner }: Turn,
  log: Logger | undefined,
): void {
  const foreign = findForeignPowers(definition, allowed);
  if (foreign.length === 0) return;
  log?.error({ taskId, owner, refused: foreign }, 'stored agent definition refused');
  throw new RetryableError('The definition of this agent needs what its worker does not allow.', {
    cause: new Error(`AGENT_FILE and AGENT_EARLIER_FILES do not have ${foreign.join(', ')}`),
  });
}
