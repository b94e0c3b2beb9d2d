/** Identifies the destination of a request, for limits on the load that one destination gets. */
import ipaddr from 'ipaddr.js';

/**
 * Returns the host of a URL, without its port: one machine has 65,535 of them. IPv6 addresses of one /64
 * network are one destination, because networks of this size are assigned to single customers (RFC 6177).
 */
export function getDestination({ hostname }: URL): string {
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (!ipaddr.IPv6.isValid(host)) return host;
  const address = ipaddr.IPv6.parse(host);
  return `${address.parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}
