/** Returns a new UUIDv7 (RFC 9562, section 5.7): Unix milliseconds, then random bits. Sorts by creation time. */
export function uuidv7(now: number = Date.now()): string {
  // randomUUID uses a cached entropy pool; calling randomBytes for each id costs several times as much.
  const random = globalThis.crypto.randomUUID();
  const millis = now.toString(16).padStart(12, '0');
  return `${millis.slice(0, 8)}-${millis.slice(8, 12)}-7${random.slice(15)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Returns whether a string has the form of the ids of this system. No other string can identify a row. */
export function isUuid(value: string): boolean {
  return UUID.test(value);
}

/** Returns whether an id has a character of ASCII that cannot be printed: PostgreSQL and URLs do not take all of them. */
export function hasControlCharacter(id: string): boolean {
  return /[\p{Cc}&&\p{ASCII}]/v.test(id);
}

/** Returns the time at which `uuidv7` created an id, in Unix milliseconds. */
export function getUuidTime(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}
