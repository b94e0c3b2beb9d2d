/**
 * The key of a context: a hash of its owner, tenant and id. The history of a turn is found by it with one narrow
 * index, and contexts of the same name that belong to other owners have other keys (invariant 9).
 *
 * New contexts have neighbouring keys if their ids start with a time, as those of the api do. Their messages then share
 * a page of the index; a hash alone would write to another page for each new context, which PostgreSQL logs whole after
 * each checkpoint.
 */
import { hash } from 'node:crypto';
import { isUuid } from '../../domain/ids.ts';

export interface ContextId {
  tenant: string;
  owner: string;
  contextId: string;
}

/** Hexadecimal digits of the time of a UUIDv7 in a key: 65.536 seconds have the same. */
const timeDigits = 8;

/**
 * Returns the first 128 bits of a SHA-256, as a UUID, or the time of the id and 96 bits. Callers choose ids, so MD5 would
 * let them find collisions.
 */
export function toContextKey({ tenant, owner, contextId }: ContextId): string {
  const digits = hash('sha256', JSON.stringify([tenant, owner, contextId]), 'hex').slice(0, 32);
  return contextId[14] === '7' && isUuid(contextId)
    ? contextId.slice(0, timeDigits) + digits.slice(timeDigits)
    : digits;
}
