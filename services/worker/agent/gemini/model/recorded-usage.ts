import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import { hasTokens, toModelUsage } from './cost.ts';
import type { ModelResponse } from './response.ts';
import type { FailedCall } from './stall.ts';

/**
 * Returns the usage of a call from the result of its step. Undefined for a failed call without tokens, which counts as
 * no call.
 */
export function toRecordedUsage(
  { model, prices }: AgentDefinition,
  result: ModelResponse | FailedCall,
): ModelUsage | undefined {
  if ('failed' in result && !hasTokens(result.usage)) return undefined;
  return toModelUsage(result.usage, model.name, prices);
}
