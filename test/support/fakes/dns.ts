/** A name server for tests of DNS rebinding, of forbidden addresses, and of queries without an answer. */
import { isIPv4, isIPv6, type AddressInfo } from 'node:net';
import { createServer, Packet } from 'dns2';
import type { Cleanup } from '../cleanup.ts';

/**
 * Returns the records of a name: addresses, or `CNAME name` (resolved in the same zone). `undefined` means
 * that the name does not exist; with `silence` the server does not respond.
 *
 * @param query number of this query for the name, from 1
 */
export type Zone = (name: string, query: number, type: 'A' | 'AAAA') => Records | Promise<Records>;

type Records = readonly string[] | 'silence' | undefined;

export interface NameServer {
  /** `host:port`, as `dns.setServers` expects it. */
  readonly address: string;
  /** Number of queries for the IPv4 addresses of a name. */
  queries(name: string): number;
}

export async function startNameServer(t: Cleanup, zone: Zone): Promise<NameServer> {
  const queries = new Map<string, number>();
  const server = createServer({
    udp: true,
    // oxlint-disable-next-line typescript/no-misused-promises -- a zone that fails ends the test
    handle: async (request, send) => {
      const [question] = request.questions;
      if (question === undefined) return;
      const { name, type } = question;
      const query = (queries.get(name) ?? 0) + Number(type === Packet.TYPE.A);
      queries.set(name, query);
      const response = Packet.createResponseFromRequest(request);
      const addAnswers = async (owner: string): Promise<boolean> => {
        const records = await zone(owner, Math.max(query, 1), type === Packet.TYPE.A ? 'A' : 'AAAA');
        if (records === 'silence') return false;
        if (records === undefined) response.header.rcode = Packet.RCODE.NXDOMAIN;
        for (const record of records ?? []) {
          const domain = record.startsWith('CNAME ') ? record.slice('CNAME '.length) : undefined;
          const ofType = type === Packet.TYPE.A ? isIPv4(record) : isIPv6(record);
          if (domain === undefined && !ofType) continue;
          const answer = { name: owner, class: Packet.CLASS.IN, ttl: 0 };
          response.answers.push(
            new Packet.Resource(
              domain === undefined
                ? { ...answer, type, address: record }
                : { ...answer, type: Packet.TYPE.CNAME, domain },
            ),
          );
          if (domain !== undefined) await addAnswers(domain);
        }
        return true;
      };
      if (await addAnswers(name)) send(response);
    },
  });
  await server.listen({ udp: { port: 0, address: '127.0.0.1' } });
  t.after(() => server.close());
  const { port } = server.addresses().udp as AddressInfo;
  return { address: `127.0.0.1:${port}`, queries: (name) => queries.get(name) ?? 0 };
}
