/**
 * The key of a context: a hash of its owner, tenant and id. The history of a turn is found by it with one narrow
 * index, and contexts of the same name that belong to other owners have other keys (invariant 9).
 */
import { hash } from 'node:crypto';

export interface ContextId {
  tenant: string;
  owner: string;
  contextId: string;
}

/** Returns the first 128 bits of a SHA-256, as a UUID. Callers choose ids, so MD5 would let them find collisions. */
export function toContextKey({ tenant, owner, contextId }: ContextId): string {
  return hash('sha256', JSON.stringify([tenant, owner, contextId]), 'hex').slice(0, 32);
}
