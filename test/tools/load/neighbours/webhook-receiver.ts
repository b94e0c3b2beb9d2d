/** The receiver of the measured owner. Measures from the timestamp of an event to its first arrival. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Phase } from './samples.ts';

/** submitted, working, completed */
const eventsPerTask = 3;

export interface WebhookReceiver {
  readonly url: string;
  /** Expects the webhooks of a task. */
  expect(taskId: string, phase: Phase): void;
  /** Resolves when all expected webhooks have arrived, or at a time of `performance.now()`. */
  settle(until: number): Promise<void>;
  read(phase: Phase): { latencies: number[]; lost: number };
}

export async function startWebhookReceiver(): Promise<WebhookReceiver> {
  const expected = new Map<string, Phase>();
  /** Milliseconds by event, for each task. */
  const arrived = new Map<string, Map<string, number>>();
  const server = createServer((request, response) => {
    const at = Date.now();
    void text(request).then((body) => {
      response.writeHead(204).end();
      const { 'longhaul-task-id': taskId, 'longhaul-event': event } = request.headers;
      const writtenAt = Date.parse(/"timestamp":"([^"]+)"/.exec(body)?.[1] ?? '');
      const events = arrived.get(String(taskId)) ?? new Map<string, number>();
      arrived.set(String(taskId), events);
      if (!events.has(String(event))) events.set(String(event), at - writtenAt);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const countMissing = (taskId: string) => eventsPerTask - (arrived.get(taskId)?.size ?? 0);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    expect: (taskId, phase) => void expected.set(taskId, phase),
    settle: async (until) => {
      while (performance.now() < until && [...expected.keys()].some((id) => countMissing(id) > 0))
        await sleep(50);
    },
    read: (phase) => {
      const tasks = [...expected].flatMap(([taskId, of]) => (of === phase ? [taskId] : []));
      return {
        latencies: tasks.flatMap((taskId) => [...(arrived.get(taskId)?.values() ?? [])]),
        lost: tasks.reduce((sum, taskId) => sum + countMissing(taskId), 0),
      };
    },
  };
}
