/** Follows all tasks of the caller (docs/extensions/tasks.md), over broken connections and restarts of the agent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { tasksExtension, type FeedEvent } from '#shared/domain/views.ts';
import { CliError } from '../failure.ts';
import type { Agent } from './connect.ts';
import { getMessage, request, TransientError } from './http.ts';
import { getRoute } from './rest.ts';
import { readServerSentEvents } from './sse.ts';

const maxDelayMs = 5_000;

export interface FeedOptions {
  signal: AbortSignal;
  /** Called when the feed is open, the first time and after each reconnect. */
  onOpen: () => void;
  onReconnect: (reason: string) => void;
}

/**
 * Yields the events of all tasks from now on. An event may come again after a reconnect.
 *
 * @throws {CliError} if the agent has no feed, or refuses it
 */
export async function* followFeed(
  agent: Agent,
  { signal, onOpen, onReconnect }: FeedOptions,
): AsyncGenerator<FeedEvent, void, undefined> {
  const url = getRoute(agent, tasksExtension, '/feed');
  let lastId: string | undefined;
  for (let failures = 0; ;) {
    let reason = 'the stream ended';
    try {
      const response = await request(url, {
        headers: {
          ...agent.authHeaders,
          accept: 'text/event-stream',
          ...(lastId !== undefined && { 'last-event-id': lastId }),
        },
        signal,
      });
      if (!response.ok) throw new CliError(await getMessage(response));
      onOpen();
      for await (const { id, data } of readServerSentEvents(response)) {
        failures = 0;
        lastId = id ?? lastId;
        const event = data === '' ? undefined : (JSON.parse(data) as FeedEvent | { error: unknown });
        if (event !== undefined && 'taskId' in event) yield event;
      }
    } catch (error) {
      if (signal.aborted || (error instanceof CliError && !(error instanceof TransientError))) throw error;
      reason = (error as Error).message;
    }
    onReconnect(reason);
    await sleep(Math.min(maxDelayMs, 200 * 2 ** failures++), undefined, { signal });
  }
}
