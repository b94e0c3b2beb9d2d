/** Conversions between milliseconds and `google.protobuf.Timestamp` or `Duration`. */

export interface WireDuration {
  seconds: number;
  nanos: number;
}

/** The form of durations and timestamps in requests of both client libraries. */
interface LooseDuration {
  seconds?: { toString(): string } | null | undefined;
  nanos?: number | null | undefined;
}

export function toMillis(duration: LooseDuration): number;
export function toMillis(duration: LooseDuration | null | undefined): number | undefined;
export function toMillis(duration: LooseDuration | null | undefined): number | undefined {
  if (duration === null || duration === undefined) return undefined;
  return Number(duration.seconds ?? 0) * 1000 + (duration.nanos ?? 0) / 1e6;
}

export function fromMillis(millis: number): WireDuration {
  const seconds = Math.floor(millis / 1000);
  return { seconds, nanos: Math.round((millis - seconds * 1000) * 1e6) };
}
