/** Runs a supervisor with fake children, as `npm start` runs one with real children. CHILDREN is a JSON list. */
import { createPrint } from '#services/local/processes/log-output.ts';
import { createNodeChild, type Standby } from '#services/local/processes/node-child.ts';
import { startStandby } from '#services/local/processes/standby.ts';
import { runUntilSignal } from '#services/local/processes/signals.ts';
import { StartError, Supervisor } from '#services/local/processes/supervisor.ts';
import { waitUntilGone } from './processes.ts';

export interface FakeChild {
  name: string;
  tier: number;
  ready?: 'line' | 'health';
  port?: number;
  stopMs?: number;
  env?: Record<string, string>;
  /** Whether a process waits for the start: `killed` before it, or never started. */
  standby?: 'used' | 'killed' | 'unused';
}

const resolve = (name: string): URL => new URL(`../fakes/${name}.ts`, import.meta.url);
const children = JSON.parse(process.env['CHILDREN'] ?? '[]') as FakeChild[];
const print = createPrint(process.stdout);
const supervisor = new Supervisor(print, { backoffMs: 20 });
try {
  await runUntilSignal(supervisor, print, async () => {
    await Promise.all(children.map(start));
    print('test', { severity: 'INFO', message: 'all up' });
  });
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  print('test', { severity: 'ERROR', message: `did not start: ${error.message}`, lines: error.lines });
  process.exitCode = 1;
}

async function start(child: FakeChild): Promise<void> {
  const { name, tier, ready = 'line', port = 0, stopMs = 10_000 } = child;
  const env = { PATH: process.env['PATH'], ...child.env };
  const restarted = async (): Promise<void> =>
    print('test', { severity: 'INFO', message: `restarted ${name}` });
  const standby = child.standby === undefined ? undefined : await prepare(child);
  if (child.standby === 'unused') return;
  const file = resolve('child');
  await supervisor.start(
    createNodeChild({ name, tier, ready, port, stopMs, file, env, standby, restarted }, print),
  );
}

/** Resolves when the process waits, or is dead. */
async function prepare({ name, standby }: FakeChild): Promise<Standby> {
  const waiting = Promise.withResolvers<number>();
  const started = startStandby(
    { name, file: resolve('standby'), env: { PATH: process.env['PATH'] } },
    (service, entry) => {
      print(service, entry);
      if (entry.message === 'waiting') waiting.resolve(Number(entry['pid']));
    },
    supervisor.signal,
  );
  const pid = await waiting.promise;
  if (standby === 'killed') {
    process.kill(pid, 'SIGKILL');
    await waitUntilGone([pid], 20_000);
  }
  return started;
}
