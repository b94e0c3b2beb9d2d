/**
 * How large what clients receive may be. The gRPC clients of most languages refuse messages above 4 MiB unless they are
 * configured otherwise, so no answer and no event is larger. Pure.
 */
const KiB = 1024;

/** A task in an answer or in a webhook, and a page of tasks. The rest of 4 MiB is for the envelope. */
export const maxTaskBytes = 3584 * KiB;

/** All artifacts of a task together, without what they store as files. Leaves room for the status and some history. */
export const maxArtifactsBytes = 2048 * KiB;

/** An event: a status with its message, or an artifact or a chunk of one. */
export const maxEventBytes = 512 * KiB;

/** A part with larger content becomes a file. */
export const maxInlineBytes = 256 * KiB;

/** The content of a file, which is served as a whole. */
export const maxFileBytes = 32 * 1024 * KiB;

/**
 * Returns the bytes that a value takes on the wire, at most: as UTF-8, and as a Struct of protocol buffers, where a
 * number takes 11 bytes and an empty object 4. Text with many escapes is larger as JSON.
 *
 * @param limit stops counting above it
 */
export function measure(value: unknown, limit: number = Number.MAX_SAFE_INTEGER): number {
  return limit - subtract(limit, value);
}

const perValue = 12;

function subtract(left: number, value: unknown): number {
  if (typeof value === 'string') return left - perValue - Buffer.byteLength(value);
  if (typeof value !== 'object' || value === null) return left - perValue;
  let remaining = left - perValue;
  if (Array.isArray(value)) {
    for (const item of value) {
      if (remaining < 0) break;
      remaining = subtract(remaining, item);
    }
    return remaining;
  }
  for (const key in value) {
    if (remaining < 0) break;
    remaining = subtract(remaining - Buffer.byteLength(key), value[key as keyof typeof value]);
  }
  return remaining;
}
