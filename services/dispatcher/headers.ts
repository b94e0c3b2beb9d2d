/**
 * The headers of a webhook: those of A2A (section 4.3.3: the config's authentication and token), the id and time of the
 * Standard Webhooks specification, and our own, which name the event without reading the body.
 */
import type { ClaimedDelivery } from '#shared/db/deliveries.ts';

export function headersOf(
  delivery: ClaimedDelivery,
  secrets: { token: string | null; authScheme: string | null; authCredentials: string | null },
  body: { contentType: string; truncated: boolean },
  now: number,
): Record<string, string> {
  const { taskId, configId, seq } = delivery;
  const { token, authScheme, authCredentials } = secrets;
  return {
    'content-type': body.contentType,
    'user-agent': 'Longhaul',
    // The same for every attempt, so that receivers can drop repeats.
    'webhook-id': `${taskId}.${configId}.${seq}`,
    'webhook-timestamp': String(Math.floor(now / 1000)),
    'longhaul-task-id': taskId,
    'longhaul-event': String(seq),
    ...(body.truncated && { 'longhaul-truncated': 'true' }),
    ...(authScheme !== null &&
      authCredentials !== null && { authorization: `${authScheme} ${authCredentials}` }),
    ...(token !== null && { 'x-a2a-notification-token': token }),
  };
}
