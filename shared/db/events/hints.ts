/** Hints of new events or deliveries: one connection of the process listens for NOTIFY. They may be lost, so readers also poll. */
import { Client } from 'pg';
import type { DatabaseAddress } from '../../runtime/config/database.ts';
import { errorMessage, type Logger } from '../../runtime/log.ts';
import { toConnectionOptions } from '../client/pool.ts';
import { toSessionName } from '../schema/migrations/contractions.ts';
import type { deliveriesChannel, eventsChannel } from './fan-out.ts';

export interface EventHints {
  /** Calls the listener after statements that wrote to the channel, until the hints are closed. */
  listen(listener: () => void): void;
  close(): Promise<void>;
}

/** Connects at once, and again whenever the connection is lost. */
export function createEventHints(
  database: DatabaseAddress,
  channel: typeof deliveriesChannel | typeof eventsChannel,
  log: Logger,
): EventHints {
  const listeners = new Set<() => void>();
  const closing = new AbortController();
  const ended = run({ database, channel, log, signal: closing.signal }, () => {
    for (const listener of listeners) listener();
  });
  return {
    listen: (listener) => void listeners.add(listener),
    close: () => {
      closing.abort();
      return ended;
    },
  };
}

async function run(
  parts: { database: DatabaseAddress; channel: string; log: Logger; signal: AbortSignal },
  onHint: () => void,
): Promise<void> {
  const { database, channel, log, signal } = parts;
  while (!signal.aborted) {
    const client = new Client({
      ...toConnectionOptions(database),
      application_name: toSessionName('longhaul-listen'),
      connectionTimeoutMillis: 5_000,
      keepAlive: true,
    });
    const done = new AbortController();
    try {
      const lost = new Promise<void>((resolve) => {
        client.on('error', () => resolve());
        client.on('end', resolve);
        signal.addEventListener('abort', () => resolve(), { once: true, signal: done.signal });
      });
      await client.connect();
      client.on('notification', onHint);
      await client.query(`listen ${channel}`);
      onHint();
      await lost;
    } catch (error) {
      log.debug({ error: errorMessage(error) }, 'listening for hints failed');
    }
    done.abort();
    await client.end().catch(() => undefined);
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
