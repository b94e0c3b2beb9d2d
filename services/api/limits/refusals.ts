/** Counts what the service refuses or cuts off because of a limit, in the metric `longhaul.api.refused`. */
import { instruments } from '#shared/runtime/instruments.ts';

/** Values of the attribute `longhaul.refusal`; docs/operate/observability.md explains each. */
export type Refusal =
  | 'unauthenticated'
  | 'authentication_rate'
  | 'request_rate'
  | 'byte_rate'
  | 'open_calls'
  | 'receiving'
  | 'receive_timeout'
  | 'slow_reader'
  | 'connections'
  | 'health_watches';

export function countRefusal(refusal: Refusal): void {
  instruments.apiRefused.record(1, { 'longhaul.refusal': refusal });
}
