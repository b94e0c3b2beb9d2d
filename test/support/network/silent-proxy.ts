/**
 * A TCP proxy in front of PostgreSQL whose connections can go silent: they stay open, but forward nothing, like a
 * connection after a failed network or a frozen peer. New connections work unless the proxy is down, full or mute.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import type { Cleanup } from '../cleanup.ts';

export interface SilentProxy {
  readonly port: number;
  /** Connections that are open and not silent. */
  readonly open: number;
  /** Makes all connections that are open now silent, for good. */
  silence(): void;
  /** New connections that were silent from the start. */
  readonly muted: number;
  /** Whether new connections are silent, for good. */
  setMute(mute: boolean): void;
  /** Closes all connections, and refuses new ones until it is up again. */
  setDown(down: boolean): void;
  /** Closes all connections, and answers new ones that there are too many clients (SQLSTATE 53300). */
  setFull(full: boolean): void;
  /**
   * Makes a connection silent when PostgreSQL has answered within a transaction for the n-th time from now, in place
   * of that answer. Resolves when that has happened.
   */
  silenceInTransaction(n: number): Promise<void>;
  /** Makes a connection silent in place of PostgreSQL's n-th complete answer from now, in a transaction or not. */
  silenceAtAnswer(n: number): Promise<void>;
}

export async function startSilentProxy(
  t: Cleanup,
  target: { host: string; port: number },
): Promise<SilentProxy> {
  const sockets = new Set<Socket>();
  const forwarding = new Set<() => void>();
  let onAnswer: ((status: string) => boolean) | undefined;
  let entry: 'open' | 'down' | 'full' = 'open';
  let isMute = false;
  let muted = 0;
  const server = createServer((client) => {
    if (entry !== 'open') {
      client.on('error', () => undefined);
      if (entry === 'down') client.resetAndDestroy();
      else client.once('data', () => client.end(tooManyClients));
      return;
    }
    if (isMute) {
      muted += 1;
      sockets.add(client.on('error', () => undefined));
      return;
    }
    const upstream = connect(target.port, target.host);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const silenceThis = (): void => {
      for (const socket of [client, upstream]) {
        socket.removeAllListeners('data').pause();
      }
      forwarding.delete(silenceThis);
    };
    forwarding.add(silenceThis);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (data) => {
        if (from === upstream && onAnswer?.(readyStatus(data))) silenceThis();
        else to.write(data);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        sockets.delete(from);
        if (forwarding.delete(silenceThis)) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  function silence(): void {
    for (const silenceOne of forwarding) silenceOne();
  }
  async function silenceAt(n: number, statuses: string): Promise<void> {
    let left = n;
    await new Promise<void>((resolve) => {
      onAnswer = (status) => {
        if (!status || !statuses.includes(status)) return false;
        left -= 1;
        if (left > 0) return false;
        onAnswer = undefined;
        resolve();
        return true;
      };
    });
  }
  function closeAll(): void {
    for (const socket of sockets) socket.destroy();
  }
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return forwarding.size;
    },
    get muted() {
      return muted;
    },
    silence,
    setMute: (mute) => (isMute = mute),
    setDown: (down) => {
      entry = down ? 'down' : 'open';
      if (down) closeAll();
    },
    setFull: (full) => {
      entry = full ? 'full' : 'open';
      if (full) closeAll();
    },
    silenceInTransaction: (n) => silenceAt(n, 'T'),
    silenceAtAnswer: (n) => silenceAt(n, 'TIE'),
  };
}

/** An ErrorResponse with its fields (PostgreSQL documentation, section 55.8). */
const tooManyClients = createErrorResponse({ S: 'FATAL', C: '53300', M: 'sorry, too many clients already' });

function createErrorResponse(fields: Record<string, string>): Buffer {
  const text = Object.entries(fields).map(([type, value]) => `${type}${value}\0`);
  const body = Buffer.from(`${text.join('')}\0`, 'latin1');
  const head = Buffer.alloc(5, 'E');
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const readyForQuery = Buffer.from('Z\0\0\0\x05', 'latin1');

/** The transaction status of a ReadyForQuery at the end of the data (PostgreSQL documentation, section 55.7), or ''. */
function readyStatus(data: Buffer): string {
  return data.subarray(-6, -1).equals(readyForQuery) ? data.toString('latin1', data.length - 1) : '';
}
