/** The one feed of this tab: every change of the caller's tasks, and with it the state of the connection. */
import { signal } from '@preact/signals';
import type { FeedEvent } from '#shared/domain/views.ts';
import { followStream } from './stream.ts';

export type Connection =
  | { state: 'connecting' }
  | { state: 'live' }
  | { state: 'broken'; reason: string }
  | { state: 'refused'; reason: string };

export const connection = signal<Connection>({ state: 'connecting' });

/**
 * How often the feed has been opened. A feed that has had no event yet starts with the events from now on, so what was
 * read before may be old.
 */
export const feedOpened = signal(0);

type Listener = (event: FeedEvent) => void;
const listeners = new Set<Listener>();

/** Calls the listener for every event until the returned function is called. */
export function onFeed(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Follows the feed until the returned function is called. */
export function startFeed(): () => void {
  const controller = new AbortController();
  connection.value = { state: 'connecting' };
  followStream({
    path: '/feed',
    signal: controller.signal,
    onOpen: () => {
      connection.value = { state: 'live' };
      feedOpened.value += 1;
    },
    onBreak: (reason) => (connection.value = { state: 'broken', reason }),
    onEvent: ({ data }) => {
      const event = JSON.parse(data) as FeedEvent | { error: unknown };
      if ('taskId' in event) for (const listener of listeners) listener(event);
    },
  }).catch((error: unknown) => {
    connection.value = { state: 'refused', reason: (error as Error).message };
  });
  return () => controller.abort();
}
