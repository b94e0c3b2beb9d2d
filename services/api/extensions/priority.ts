/**
 * The priority extension: the order in which the queued tasks of one caller start (docs/extensions/priority.md).
 * Clients send it in the metadata of the SendMessage that creates the task, under the URI of the extension:
 *
 * ```json
 * { "https://longhaul.dev/ext/priority/v1": 5 }
 * ```
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';

export const priorityExtension = 'https://longhaul.dev/ext/priority/v1';

/** Priorities are whole numbers from `-maxPriority` to `maxPriority`. */
const maxPriority = 10;

/** @throws {RequestMalformedError} if the priority is not a whole number from -10 to 10 */
export function readPriority(metadata: Record<string, unknown> | undefined): number {
  const priority = metadata?.[priorityExtension];
  if (priority === undefined) return 0;
  if (typeof priority === 'number' && Number.isInteger(priority) && Math.abs(priority) <= maxPriority) {
    return priority;
  }
  throw new RequestMalformedError(
    `metadata["${priorityExtension}"] must be a whole number from -${maxPriority} to ${maxPriority}`,
  );
}
