/** Common parts of all hostile owners. A refusal (HTTP 429, another 4xx, or an error of JSON-RPC) is a handled request. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pool } from 'pg';
import { createApiClient, toRpc, type Answer, type ApiClient } from '../api-client.ts';

export interface Attack {
  /** Describes the behaviour of the hostile owner. */
  readonly title: string;
  /** Duration of the attack, as a multiple of the usual one. Default: 1. */
  readonly durationFactor?: number;
  /** Writes rows before the attack, instead of thousands of requests. */
  readonly seed?: (pool: Pool, owner: string) => Promise<void>;
  /** Builds large buffers before the measurement starts, and returns the attack, which lasts until the signal aborts. */
  readonly prepare: (target: Target) => Promise<(signal: AbortSignal) => Promise<void>>;
  /** A further condition on the counts. */
  readonly holds?: { condition: string; check: (counts: Counts) => boolean };
}

export interface Target {
  readonly apiUrl: string;
  readonly grpcTarget: string;
  readonly key: string;
  readonly client: ApiClient;
  readonly counts: CountMap;
}

/** Requests by their outcome, and what else an attack counts. */
export type Counts = Record<string, number>;

export class CountMap {
  readonly values: Counts = {};

  add(name: string, by = 1): void {
    this.values[name] = (this.values[name] ?? 0) + by;
  }

  max(name: string, value: number): void {
    this.values[name] = Math.max(this.values[name] ?? 0, value);
  }
}

export function createTarget(apiUrl: string, grpcTarget: string, key: string): Target {
  const client = createApiClient(apiUrl, key, 120_000);
  return { apiUrl, grpcTarget, key, client, counts: new CountMap() };
}

/** Sends a request and counts its outcome. Undefined unless it was accepted. */
export async function attempt(
  { counts }: Target,
  signal: AbortSignal,
  send: () => Promise<Answer>,
): Promise<Answer | undefined> {
  try {
    const answer = await send();
    const refused = answer.status >= 400 && answer.status < 500;
    const failed = answer.status >= 500 || (!refused && answer.text.includes('"error":{'));
    counts.add(refused ? 'refused' : failed ? 'failed' : 'accepted');
    if (!refused && !failed) return answer;
  } catch {
    if (signal.aborted) return undefined;
    counts.add('failed');
  }
  // Keeps a refused or disconnected attacker from spinning on the cores of the measured services.
  await pause(100, signal);
  return undefined;
}

/** Sends requests one after the other until this many were accepted. */
export async function attemptUntilAccepted(
  target: Target,
  signal: AbortSignal,
  count: number,
  send: () => Promise<Answer>,
): Promise<void> {
  for (let accepted = 0; accepted < count && !signal.aborted;) {
    if ((await attempt(target, signal, send)) !== undefined) accepted += 1;
    else await pause(1000, signal);
  }
}

/** Runs loops side by side until the signal aborts. */
export async function repeatInParallel(
  loops: number,
  signal: AbortSignal,
  run: (loop: number) => Promise<unknown>,
): Promise<void> {
  const loop = async (index: number) => {
    while (!signal.aborted) await run(index);
  };
  await Promise.all(Array.from({ length: loops }, (_, index) => loop(index)));
}

export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/** Parameters of SendMessage. */
export function createSend(
  text: string,
  {
    message = {},
    configuration = {},
    metadata,
  }: { message?: object; configuration?: object; metadata?: object } = {},
): object {
  return {
    message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...message },
    configuration: { returnImmediately: true, historyLength: 0, ...configuration },
    ...(metadata && { metadata }),
  };
}

/** Metadata with which a task starts in an hour. */
export function inAnHour(): object {
  return {
    'https://longhaul.dev/ext/schedule/v1': { startAt: new Date(Date.now() + 3_600_000).toISOString() },
  };
}

/** JSON of 3.9 MB, just below the limit of a part: `[{},{},…]`, and a string. */
export const emptyObjects = Buffer.from(`[${'{},'.repeat(1_299_999)}{}]`);
export const longText = Buffer.from(`"${'x'.repeat(3_900_000)}"`);

/**
 * A request to SendMessage with two large parts, together 7.8 MB. Their JSON is written into that of a small request, so
 * that this process parses and builds no large values.
 */
export function createLargeSend(
  text: string,
  [kind, json]: ['data' | 'text', Buffer],
  message: object = {},
): Buffer {
  const parts = [{ text }, { [kind]: '@large' }, { [kind]: '@large' }];
  const body = toRpc('SendMessage', createSend(text, { message: { ...message, parts } }));
  const [head = '', middle = '', tail = ''] = body.split('"@large"');
  return Buffer.concat([Buffer.from(head), json, Buffer.from(middle), json, Buffer.from(tail)]);
}

export function getTaskId(answer: Answer | undefined): string | undefined {
  return /"task":\{"id":"([^"]+)"/.exec(answer?.text ?? '')?.[1];
}
