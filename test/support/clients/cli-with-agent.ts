/** The commands of `longhaul` against an agent of an SDK, each run as a program. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { runCli } from './cli.ts';
import type { RunResult } from '../processes/run.ts';

/** Defines the test. `start` starts the agent, and returns its address. */
export function testCliWithAgent(
  name: string,
  version: '1.0' | '0.3',
  start: (t: TestContext) => Promise<string>,
): void {
  test(`sends, watches, answers and cancels with A2A ${name}`, async (t) => {
    const LONGHAUL_URL = await start(t);
    const longhaul = (...args: string[]): Promise<RunResult> => runCli(args, { env: { LONGHAUL_URL } });
    const [card, waited, streamed, asked, detached, list] = await Promise.all([
      longhaul('card'),
      longhaul('send', 'hi'),
      longhaul('send', 'hi', '--stream', '--json'),
      longhaul('send', 'ask', '--json'),
      longhaul('send', 'wait', '--detach'),
      longhaul('list'),
    ]);
    assert.equal(card.status, 0, card.stdout + card.stderr);
    assert.match(card.stdout, new RegExp(`\\(A2A ${version}\\)`));
    assert.deepEqual(waited, { status: 0, stdout: 'hello world\n', stderr: '' });
    const events = streamed.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.equal(events.at(-1).statusUpdate.status.state, 'TASK_STATE_COMPLETED', streamed.stderr);
    assert.equal(asked.status, 3, asked.stderr);
    assert.match(list.stderr + list.stdout, version === '0.3' ? /tasks\/list/ : /TASK|^the list is empty$/m);

    const waiting = detached.stdout.trim();
    const [answered, watched, read] = await Promise.all([
      longhaul('answer', JSON.parse(asked.stdout).id, 'Paris'),
      longhaul('watch', waiting),
      longhaul('get', waiting, '--json'),
      longhaul('cancel', waiting),
    ]);
    assert.deepEqual([answered.status, answered.stdout], [0, 'hello world\n'], answered.stderr);
    assert.equal(watched.status, 1, watched.stderr);
    assert.equal(JSON.parse(read.stdout).id, waiting);
  });
}
