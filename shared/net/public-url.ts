/**
 * Decides which caller-supplied URLs (webhooks, files) a service may request, to prevent server-side request
 * forgery into its own network. The URL is checked without DNS, when it is registered and before each
 * request. Every address that its host resolves to is checked when it is dialled.
 *
 * An operator can exempt hosts. They may then be private, use plain http, and use any port.
 */
import ipaddr from 'ipaddr.js';

const maxUrlLength = 2048;

/** Suffixes of names that only resolve inside a network (RFC 6761, RFC 6762, RFC 9476 and common use). */
const privateSuffixes = [
  'localhost',
  'local',
  'internal',
  'intranet',
  'lan',
  'home',
  'corp',
  'private',
  'home.arpa',
];

/**
 * Services of a cloud's own network at public addresses, which the registries of special-purpose addresses (IANA, in
 * ipaddr.js) do not list.
 */
const otherPrivateRanges = [
  // Google's APIs as seen from inside a VPC: private.googleapis.com and restricted.googleapis.com.
  // https://docs.cloud.google.com/vpc/docs/configure-private-google-access
  ipaddr.parseCIDR('199.36.153.0/24'),
  ipaddr.parseCIDR('2600:2d00:2::/48'),
  // Azure's WireServer, the agent of the host of a virtual machine.
  // https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
  ipaddr.parseCIDR('168.63.129.16/32'),
];

const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

export type PublicUrlCheck = { url: URL } | { problem: string };

/**
 * Checks a URL as far as possible without DNS. The problem is a sentence for the caller who supplied the URL.
 *
 * @param allowHosts exempt hosts, names or IP literals
 * @param ownHosts hosts of this system, rejected although they are public
 */
export function checkPublicUrl(
  text: string,
  allowHosts: readonly string[],
  ownHosts: readonly string[] = [],
): PublicUrlCheck {
  if (text.length > maxUrlLength) {
    return { problem: `The URL must be at most ${maxUrlLength} characters long.` };
  }
  // URL parsers disagree about these characters, and silently drop or rewrite some of them.
  if (/[\s\\[\p{Cc}&&\p{ASCII}]]/v.test(text)) {
    return { problem: 'The URL must not contain spaces, control characters or backslashes.' };
  }
  if (!URL.canParse(text)) return { problem: 'The URL must be absolute, such as https://example.com/path.' };
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return { problem: 'The URL must start with https://.' };
  if (url.username !== '' || url.password !== '') {
    return { problem: 'The URL must not contain a user name or password.' };
  }
  if (isAmong(url.hostname, allowHosts)) return { url };
  if (url.protocol !== 'https:') return { problem: 'The URL must start with https://.' };
  const port = Number(url.port || 443);
  if (port !== 443 && port < 1024) return { problem: 'The port must be 443, or 1024 or higher.' };
  if (isAmong(url.hostname, ownHosts)) return { problem: 'The URL must not point to this service itself.' };
  const problem = findHostProblem(normalizeHost(url.hostname));
  return problem === undefined ? { url } : { problem };
}

/** Returns whether a host is in a list of names and IP literals (with or without brackets). */
export function isAmong(host: string, hosts: readonly string[]): boolean {
  const normalized = normalizeHost(host);
  return hosts.some((other) => normalizeHost(other) === normalized);
}

/** Returns whether a resolved address is on the public internet. Addresses with a special purpose are not. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  if (parsed instanceof ipaddr.IPv6 && !parsed.match(globalUnicast)) return false;
  return !otherPrivateRanges.some(
    ([network, bits]) => network.kind() === parsed.kind() && parsed.match(network, bits),
  );
}

function findHostProblem(host: string): string | undefined {
  if (ipaddr.isValid(host)) {
    return isPublicAddress(host)
      ? undefined
      : 'The URL must point to a public address, not to a private or reserved one.';
  }
  const isPrivate = privateSuffixes.some((name) => host === name || host.endsWith(`.${name}`));
  if (isPrivate || !host.includes('.')) {
    return `The URL must point to a public host; "${host}" is a name of a private network.`;
  }
  return undefined;
}

/** Normalizes a host: lower case, no IPv6 brackets, no trailing dot, one canonical form for each address. */
function normalizeHost(host: string): string {
  const normalized = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  return ipaddr.isValid(normalized) ? ipaddr.parse(normalized).toString() : normalized;
}
