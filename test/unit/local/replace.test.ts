/** How the supervisor replaces and restarts a child on purpose, with fake children. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LogEntry } from '#services/local/processes/log-output.ts';
import { StartError, Supervisor, type Child } from '#services/local/processes/supervisor.ts';
import { waitFor } from '../../support/wait-for.ts';

/** A child that runs until it is stopped. Counts how often it started and stopped. */
class FakeChild implements Child {
  readonly name = 'worker';
  readonly tier = 1;
  readonly counts = { started: 0, stopped: 0 };
  readonly #problem: StartError | undefined;
  constructor(problem?: StartError) {
    this.#problem = problem;
  }

  async start() {
    if (this.#problem !== undefined) throw this.#problem;
    this.counts.started += 1;
    const { promise: exited, resolve } = Promise.withResolvers<string>();
    const stop = (): void => {
      this.counts.stopped += 1;
      resolve('exit code 0');
    };
    return { exited, stop, kill: stop };
  }
}

function startSupervisor() {
  const entries: LogEntry[] = [];
  const supervisor = new Supervisor((_service, entry) => void entries.push(entry), { backoffMs: 1 });
  return { supervisor, errors: () => entries.filter(({ severity }) => severity === 'ERROR') };
}

describe('a child that is replaced', () => {
  test('stops once the next one runs, and does not start again', async () => {
    const { supervisor, errors } = startSupervisor();
    const [current, next] = [new FakeChild(), new FakeChild()];
    await supervisor.start(current);
    await supervisor.replace(current, next);
    await supervisor.stop();
    assert.deepEqual(
      [current.counts, next.counts],
      [
        { started: 1, stopped: 1 },
        { started: 1, stopped: 1 },
      ],
    );
    assert.deepEqual(errors(), []);
  });

  test('keeps running if the next one does not start', async () => {
    const { supervisor } = startSupervisor();
    const current = new FakeChild();
    await supervisor.start(current);
    const broken = new FakeChild(new StartError('cannot start', []));
    await assert.rejects(supervisor.replace(current, broken), /cannot start/);
    assert.deepEqual(current.counts, { started: 1, stopped: 0 });
    await supervisor.stop();
  });

  test('starts again at once without an error when it is restarted', async () => {
    const { supervisor, errors } = startSupervisor();
    const child = new FakeChild();
    await supervisor.start(child);
    supervisor.restart(child);
    await waitFor('the second start', () => child.counts.started === 2);
    assert.deepEqual(errors(), []);
    await supervisor.stop();
  });
});
