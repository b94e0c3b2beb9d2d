/** A real name server, for names that lead where they must not, or somewhere else each time. */
import { isIPv4, isIPv6, type AddressInfo } from 'node:net';
import { createServer, Packet } from 'dns2';
import type { Cleanup } from '../processes/processes.ts';

/**
 * What a name leads to: addresses, or `CNAME name` (resolved by the same zone); undefined: no such name; `silence`: no
 * answer at all.
 */
export type Zone = (name: string, query: number) => readonly string[] | 'silence' | undefined;

export interface NameServer {
  /** `host:port`, as `dns.setServers` takes it. */
  readonly address: string;
  /** How often the IPv4 addresses of a name were asked for. */
  queries(name: string): number;
}

/** @param zone is also told which query for this name it is, from 1 */
export async function startNameServer(t: Cleanup, zone: Zone): Promise<NameServer> {
  const asked = new Map<string, number>();
  const server = createServer({
    udp: true,
    handle: (request, send) => {
      const [question] = request.questions;
      if (question === undefined) return;
      const { name, type } = question;
      const query = (asked.get(name) ?? 0) + Number(type === Packet.TYPE.A);
      asked.set(name, query);
      const response = Packet.createResponseFromRequest(request);
      const fill = (owner: string): boolean => {
        const records = zone(owner, Math.max(query, 1));
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
          if (domain !== undefined) fill(domain);
        }
        return true;
      };
      if (fill(name)) send(response);
    },
  });
  await server.listen({ udp: { port: 0, address: '127.0.0.1' } });
  t.after(() => server.close());
  const { port } = server.addresses().udp as AddressInfo;
  return { address: `127.0.0.1:${port}`, queries: (name) => asked.get(name) ?? 0 };
}
