/**
 * A process that loads its code in advance, which takes most of the time of a start, and runs when it gets its
 * environment as a message: a replacement that takes over at once.
 */
import type { Print } from './log-output.ts';
import type { NodeChildOptions, Standby } from './node-child.ts';
import { spawnNode } from './spawn-node.ts';

/**
 * Starts the process.
 *
 * @param file a program that loads its code, waits for the message, and then runs
 * @param signal kills the process if it still waits
 */
export function startStandby(
  { name, file, env }: Pick<NodeChildOptions, 'name' | 'file' | 'env'>,
  print: Print,
  signal: AbortSignal,
): Standby {
  const process = spawnNode(name, file, env, print);
  let waits = true;
  const end = (): void => {
    if (waits) process.kill();
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  return {
    run: (runEnv) => {
      const ran = waits && process.send(runEnv);
      waits = false;
      signal.removeEventListener('abort', end);
      return ran ? process : undefined;
    },
  };
}
