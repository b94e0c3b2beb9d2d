/** A service that receives SIGTERM but exits only after its parent is gone, and logs while it exits. */
import { createLogger } from '#shared/runtime/log.ts';

const log = createLogger('test', 'info');
const parent = process.ppid;
process.once('SIGTERM', () => {
  while (process.ppid === parent);
  // Writing the second line waits for the first.
  for (const line of ['draining', 'stopped']) log.info(line);
  process.exit(0);
});
setInterval(() => undefined, 1000);
log.info({ pid: process.pid }, 'ready');
