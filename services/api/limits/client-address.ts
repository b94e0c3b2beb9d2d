/** Addresses of clients, by which callers without a name are distinguished. */
import ipaddr from 'ipaddr.js';
import type { RequestHeaders } from '../auth/caller.ts';

/**
 * Returns the address of the client of a gRPC call: that of the connection or, behind trusted proxies, the entry of
 * `X-Forwarded-For` that the farthest of them has added. Fastify does the same for HTTP.
 *
 * @param nearest address of the connection
 * @param trustedProxies number of proxies in front, counted from the nearest
 */
export function getClientAddress(nearest: string, headers: RequestHeaders, trustedProxies: number): string {
  if (trustedProxies === 0) return nearest;
  const forwarded = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',').reverse();
  const hops = [nearest, ...forwarded.map((entry) => entry.trim()).filter((entry) => entry !== '')];
  return hops[Math.min(trustedProxies, hops.length - 1)] ?? nearest;
}

/**
 * Returns the name under which an address is counted: an IPv4 address, or the /64 network of an IPv6 address,
 * which one client has as a whole (RFC 6177). Text that is not an address counts as `unknown`.
 */
export function toAddressKey(address: string): string {
  const known = keys.get(address);
  if (known !== undefined) return known;
  if (keys.size >= maxKeys) keys.clear();
  const key = parseAddressKey(address);
  keys.set(address, key);
  return key;
}

/** Parsing an address takes as long as the rest of admitting its request. */
const keys = new Map<string, string>();
const maxKeys = 1_000;

function parseAddressKey(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown';
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') return parsed.toString();
  const network = parsed.toByteArray().slice(0, 8);
  return `${ipaddr.fromByteArray([...network, 0, 0, 0, 0, 0, 0, 0, 0]).toString()}/64`;
}
