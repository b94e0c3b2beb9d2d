/**
 * Keeps the pages of other sites from driving a server without authentication on this machine. A browser sends
 * their requests too, and the network between them and the server is the machine itself.
 *
 *   DNS rebinding                       Host is a name of the page's site    refused: not a name of this server
 *   scripts and forms of other sites    Origin is another origin             refused, unless CORS_ORIGINS lists it
 *   images, links, frames               Sec-Fetch-Site: cross-site           refused
 *
 * Clients that are not browsers send no Origin. gRPC needs no such check: browsers speak HTTP/2 only over TLS.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HttpRequestError } from '../handler/errors.ts';

export interface ForeignPagesOptions {
  /** Names and addresses of this server, without ports. */
  hosts: ReadonlySet<string>;
  /** Origins whose pages may call; `*`: all. */
  corsOrigins: readonly string[];
}

/** Values of Host that are remembered as names of this server: parsing one takes 4 µs. */
const maxKnownHosts = 100;

/** Applies to all routes that are registered after this call, public ones included. */
export function refuseForeignPages(app: FastifyInstance, options: ForeignPagesOptions): void {
  const known = new Set<string>();
  const isOwnHost = (host: string): boolean => {
    if (known.has(host)) return true;
    const name = getHostname(`http://${host}`);
    if (name === undefined || !options.hosts.has(name)) return false;
    if (known.size < maxKnownHosts) known.add(host);
    return true;
  };
  app.addHook('onRequest', (request, _reply, done) => {
    const problem = findProblem(request, options, isOwnHost);
    if (problem === undefined) done();
    else
      done(
        new HttpRequestError(403, `${problem}. AUTH_MODES is none, so pages of other sites may not call.`),
      );
  });
}

function findProblem(
  { headers }: FastifyRequest,
  options: ForeignPagesOptions,
  isOwnHost: (host: string) => boolean,
): string | undefined {
  const { host = '', origin, 'sec-fetch-site': site } = headers;
  if (!isOwnHost(host)) {
    return `The header Host must name ${[...options.hosts].join(' or ')} (PUBLIC_URL), not "${host}"`;
  }
  const { corsOrigins } = options;
  if (origin === undefined) {
    const isForeign = site === 'cross-site' && !corsOrigins.includes('*');
    return isForeign ? 'The request comes from a page of another site' : undefined;
  }
  if (corsOrigins.includes('*') || corsOrigins.includes(origin) || isOwn(origin, host)) return undefined;
  return `The origin "${origin}" is not in CORS_ORIGINS`;
}

export function isOwn(origin: string, host: string): boolean {
  return URL.canParse(origin) && new URL(origin).host === new URL(`http://${host}`).host;
}

function getHostname(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname : undefined;
}
