/**
 * Which addresses a service may call because a caller named them (webhooks, files by URL), so that nobody makes it call
 * into the network that it stands in (server-side request forgery). Two checks share this file: of the URL, without DNS,
 * when it is registered and again before each request; and of every address that its name resolves to, when it is dialled.
 *
 * An operator can name hosts that are exempt: they may be private, use plain http, and any port.
 */
import ipaddr from 'ipaddr.js';

const longestUrl = 2048;

/** Ends of names that mean something only inside a network (RFC 6761, RFC 6762, RFC 9476 and common use). */
const insideNames = [
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

/** Addresses that ipaddr.js calls public and that are not: Google's APIs as seen from inside a VPC. */
const otherRanges = [ipaddr.IPv4.parseCIDR('199.36.153.0/24')];

const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

export type PublicUrlCheck = { url: URL } | { problem: string };

/**
 * Checks what can be told without DNS. The problem is a sentence for whoever gave the URL.
 *
 * @param ownHosts of this system: refused though they are public
 */
export function checkPublicUrl(
  text: string,
  allowHosts: readonly string[],
  ownHosts: readonly string[] = [],
): PublicUrlCheck {
  if (text.length > longestUrl) return { problem: `The URL must be at most ${longestUrl} characters long.` };
  // URL parsers disagree about these, and drop or rewrite some of them silently.
  // oxlint-disable-next-line no-control-regex
  if (/[\s\\\u0000-\u001f\u007f]/.test(text)) {
    return { problem: 'The URL must not contain spaces, control characters or backslashes.' };
  }
  if (!URL.canParse(text)) return { problem: 'The URL must be absolute, such as https://example.com/path.' };
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return { problem: 'The URL must begin with https://.' };
  if (url.username !== '' || url.password !== '') {
    return { problem: 'The URL must not contain a user name or password.' };
  }
  if (isAmong(url.hostname, allowHosts)) return { url };
  if (url.protocol !== 'https:') return { problem: 'The URL must begin with https://.' };
  const port = Number(url.port || 443);
  if (port !== 443 && port < 1024) return { problem: 'The port must be 443, or 1024 or higher.' };
  if (isAmong(url.hostname, ownHosts)) return { problem: 'The URL must not lead to this service itself.' };
  const problem = hostProblem(bareHost(url.hostname));
  return problem === undefined ? { url } : { problem };
}

/** Whether a host is among others. They may be names or IP literals, these with or without brackets. */
export function isAmong(host: string, hosts: readonly string[]): boolean {
  const bare = bareHost(host);
  return hosts.some((other) => bareHost(other) === bare);
}

/** Whether an address, as resolved, is on the public internet. Everything that has a special meaning is not. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== 'unicast') return false;
  if (parsed instanceof ipaddr.IPv6) return parsed.match(globalUnicast);
  return !otherRanges.some((range) => parsed.match(range));
}

function hostProblem(host: string): string | undefined {
  if (ipaddr.isValid(host)) {
    return isPublicAddress(host)
      ? undefined
      : 'The URL must lead to a public address, not to a private or reserved one.';
  }
  const isInside = insideNames.some((name) => host === name || host.endsWith(`.${name}`));
  if (isInside || !host.includes('.')) {
    return `The URL must lead to a public host; "${host}" is a name of a private network.`;
  }
  return undefined;
}

/** Lower case, without the brackets of IPv6, the dot that ends a full name, or more than one way to write an address. */
function bareHost(host: string): string {
  const bare = host
    .toLowerCase()
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '');
  return ipaddr.isValid(bare) ? ipaddr.parse(bare).toString() : bare;
}
