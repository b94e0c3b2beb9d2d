/** The cost of encrypted contents: whole tasks with and without it, and the CPU time of the encryption alone. */
import { createSecretKey, randomBytes, randomUUID } from 'node:crypto';
import type { ContentKind } from '#shared/crypto/content-cipher.ts';
import { createSealer, openJson, useContentKeys } from '#shared/db/contents/codec.ts';
import { createContentKey } from '../../../support/database/contents.ts';
import { withRig, type Rig } from '../rig.ts';
import { alternate, perSecond, rounds, type BenchCase } from '../rounds.ts';
import { runWholeTasks } from './whole.ts';

const taskId = randomUUID();

/** The contents of a short task: bytes of JSON, and how often they are read (by the worker, by a client, by a webhook). */
const ofTask: readonly [kind: ContentKind, bytes: number, reads: number][] = [
  ['message', 300, 2],
  ['metadata', 100, 2],
  ['event', 400, 2],
  ['event', 600, 2],
  ['output', 1_000, 0],
  ['artifact', 1_000, 1],
  ['message', 400, 1],
];

const repetitions = 2_000;

export const contentsCase: BenchCase = async () => {
  const key = { id: randomUUID(), owner: 'owner', key: createSecretKey(randomBytes(32)) };
  useContentKeys({
    getOwn: () => Promise.resolve(key),
    get: () => Promise.resolve(key),
    getOwners: (ids) => Promise.resolve(new Map(ids.map((id) => [id, key.owner]))),
  });
  const task = ofTask.map(([kind, bytes, reads]) => ({ kind, text: createText(bytes), reads }));
  const large = [{ kind: 'event' as const, text: createText(1024 * 1024), reads: 1 }];
  await measure(task, key.owner, repetitions / 10);
  const taskUs = await measure(task, key.owner, repetitions);
  const largeUs = await measure(large, key.owner, 50);
  useContentKeys(undefined);
  const { clear, encrypted } = await measureTasks();
  return [
    { name: 'encrypting and decrypting a short task', value: taskUs, unit: 'µs of CPU' },
    { name: 'encrypting and decrypting 1 MB', value: largeUs / 1000, unit: 'ms of CPU' },
    perSecond('tasks of 5 steps, in clear', clear),
    perSecond('tasks of 5 steps, encrypted', encrypted),
    { name: 'encrypted, of those in clear', value: encrypted / clear, unit: '×' },
  ];
};

/** Two systems on one server of the database, of which one works at a time. */
function measureTasks(): Promise<{ clear: number; encrypted: number }> {
  const start = async (rig: Rig, env: Record<string, string>) => {
    const [api] = await Promise.all([
      rig.service('api', env),
      rig.service('worker', { WORKER_CONCURRENCY: '300', ...env }),
    ]);
    const run = (count: number): Promise<number> => runWholeTasks(rig, api.url, count, 'steps 5');
    await run(10_000);
    return () => run(3_000);
  };
  return withRig((plain) =>
    withRig(async (other) => {
      const clear = await start(plain, {});
      const encrypted = await start(other, { CONTENT_ENCRYPTION_KEYS: createContentKey() });
      return alternate({ clear, encrypted }, rounds);
    }),
  );
}

interface Value {
  kind: ContentKind;
  text: string;
  reads: number;
}

/** Returns the CPU time of one pass, in microseconds, without the parsing of JSON that is done anyway. */
async function measure(values: readonly Value[], owner: string, count: number): Promise<number> {
  const all = await measureCpu(count, () => pass(values, owner));
  const parsing = await measureCpu(count, async () => {
    for (const { text, reads } of values) for (let read = 0; read < reads; read += 1) JSON.parse(text);
  });
  return all - parsing;
}

async function measureCpu(count: number, run: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  for (let pass = 0; pass < count; pass += 1) await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / count;
}

async function pass(values: readonly Value[], owner: string): Promise<void> {
  const sealer = await createSealer([{ taskId, owner }]);
  for (const { kind, text, reads } of values) {
    const sealed: unknown = JSON.parse(sealer.json(kind, taskId, text));
    for (let read = 0; read < reads; read += 1) await openJson(kind, taskId, sealed);
  }
}

function createText(bytes: number): string {
  return JSON.stringify({
    parts: [{ text: 'words of a text '.repeat(Math.ceil(bytes / 16)).slice(0, bytes) }],
  });
}
