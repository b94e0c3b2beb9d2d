/** Runs a supervisor with fake children, as `npm start` runs one with real children. CHILDREN is a JSON list. */
import { createPrint } from '#services/local/processes/log-output.ts';
import { createNodeChild } from '#services/local/processes/node-child.ts';
import { runUntilSignal } from '#services/local/processes/signals.ts';
import { StartError, Supervisor } from '#services/local/processes/supervisor.ts';

export interface FakeChild {
  name: string;
  tier: number;
  ready?: 'line' | 'health';
  port?: number;
  stopMs?: number;
  env?: Record<string, string>;
}

const children = JSON.parse(process.env['CHILDREN'] ?? '[]') as FakeChild[];
const print = createPrint(process.stdout);
const supervisor = new Supervisor(print, { backoffMs: 20 });
try {
  await runUntilSignal(supervisor, print, async () => {
    await Promise.all(
      children.map(({ name, tier, ready = 'line', port = 0, stopMs = 10_000, env = {} }) =>
        supervisor.start(
          createNodeChild(
            {
              name,
              tier,
              ready,
              port,
              stopMs,
              file: new URL('../fakes/child.ts', import.meta.url),
              env: { PATH: process.env['PATH'], ...env },
              restarted: async () => print('test', { severity: 'INFO', message: `restarted ${name}` }),
            },
            print,
          ),
        ),
      ),
    );
    print('test', { severity: 'INFO', message: 'all up' });
  });
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  print('test', { severity: 'ERROR', message: `did not start: ${error.message}`, lines: error.lines });
  process.exitCode = 1;
}
