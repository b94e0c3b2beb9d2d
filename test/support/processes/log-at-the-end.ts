/** A service that is told to end, and comes to it only when its parent has gone. */
import { createLogger } from '#shared/runtime/log.ts';

const log = createLogger('test', 'info');
const parent = process.ppid;
process.once('SIGTERM', () => {
  while (process.ppid === parent);
  // The second line waits for the first.
  for (const line of ['draining', 'stopped']) log.info(line);
  process.exit(0);
});
setInterval(() => undefined, 1000);
log.info({ pid: process.pid }, 'ready');
