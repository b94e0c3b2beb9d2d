/**
 * Start, run until a signal, stop. The first signal stops in order, the next one at once. A Ctrl-C under npm comes twice,
 * from the terminal and from npm, so what follows the first within a moment is the same one.
 */
import type { Print } from './log-output.ts';
import type { Supervisor } from './supervisor.ts';

const sameMs = 400;

/** Resolves when everything has been stopped by a signal; rejects, with everything stopped, when `start` failed. */
export async function runUntilSignal(
  supervisor: Supervisor,
  print: Print,
  start: () => Promise<void>,
): Promise<void> {
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (first === undefined) {
      first = performance.now();
      print('local', { severity: 'INFO', message: 'stopping; once more to stop at once', signal });
      resolve();
    } else if (performance.now() - first > sameMs) {
      supervisor.kill();
    }
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  try {
    const started = start();
    started.catch(() => {}); // when the signal wins, it fails because everything is being stopped
    await Promise.race([started.then(() => signalled), signalled]);
  } finally {
    await supervisor.stop();
    for (const signal of signals) process.off(signal, onSignal);
  }
}
