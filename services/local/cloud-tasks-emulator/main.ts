/** The Cloud Tasks stand-in as a process: `PORT` (0: a free one), and `MAX_DISPATCHES_PER_SECOND` for its queues. */
import { createLogger } from '#shared/runtime/log.ts';
import { startCloudTasksEmulator } from './server.ts';

const log = createLogger('cloud-tasks', process.env['LOG_LEVEL'] ?? 'info');
const emulator = await startCloudTasksEmulator({
  port: Number(process.env['PORT'] ?? 0),
  maxDispatchesPerSecond: Number(process.env['MAX_DISPATCHES_PER_SECOND'] ?? 500),
  onGivenUp: (task, attempts, lastError) => log.warn({ task, attempts, lastError }, 'a task was given up'),
});
log.info({ port: emulator.port }, 'ready');
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void emulator.close().then(() => process.exit(0)));
}
