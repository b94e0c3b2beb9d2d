/** A fresh UUIDv7 (RFC 9562 section 5.7): 48 bits of Unix milliseconds, then random bits; sorts by time of creation. */
export function uuidv7(now: number = Date.now()): string {
  // randomUUID draws from a cached pool; randomBytes for each id costs several times as much.
  const random = globalThis.crypto.randomUUID();
  const millis = now.toString(16).padStart(12, '0');
  return `${millis.slice(0, 8)}-${millis.slice(8, 12)}-7${random.slice(15)}`;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether a string has the form of an id that this system makes. Anything else cannot name one of its rows. */
export function isUuid(value: string): boolean {
  return UUID.test(value);
}
