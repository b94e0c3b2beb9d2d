/**
 * Resolves host names by querying DNS directly. The resolver of the operating system runs on a few threads, which
 * one slow name server could occupy (invariant 11).
 */
import { Resolver } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Yields the addresses of a host, as the answers of the name servers arrive.
 *
 * @throws the error of the name servers if the host has no address
 */
export type Resolve = (host: string) => AsyncIterable<readonly string[]>;

/** How long the addresses of one family wait for those of the other (RFC 8305, section 3: Resolution Delay). */
const resolutionDelayMs = 50;

type Answer = PromiseSettledResult<string[]>;

/**
 * Queries both families at the same time. A name server that ignores one of the queries delays the addresses of the
 * other by 50 ms.
 *
 * @param timeoutMs bounds all queries for one host
 * @param servers `host:port` of name servers; default: those of the machine
 */
export function createResolve(timeoutMs: number, servers?: readonly string[]): Resolve {
  // The second try takes twice as long as the first.
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / 4), tries: 2 });
  if (servers !== undefined) resolver.setServers(servers);
  return async function* (host) {
    const a = settle(resolver.resolve4(host));
    const aaaa = settle(resolver.resolve6(host));
    const first = await Promise.race([a, aaaa]);
    const both = Promise.all([aaaa, a]);
    const early = getAddresses(first);
    if (early.length > 0) {
      const answers = await Promise.race([both, sleep(resolutionDelayMs, undefined)]);
      yield answers === undefined ? early : answers.flatMap(getAddresses);
      if (answers !== undefined) return;
    }
    const late = (await both).flatMap(getAddresses).filter((address) => !early.includes(address));
    if (late.length > 0) yield late;
    const answer = await a;
    if (early.length + late.length === 0 && answer.status === 'rejected') throw answer.reason;
  };
}

async function settle(query: Promise<string[]>): Promise<Answer> {
  const [answer] = await Promise.allSettled([query]);
  return answer;
}

function getAddresses(answer: Answer): string[] {
  return answer.status === 'fulfilled' ? answer.value : [];
}
