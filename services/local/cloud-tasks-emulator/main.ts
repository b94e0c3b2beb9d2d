/**
 * Runs the Cloud Tasks emulator as a process. Reads `PORT` (0: any free port) and
 * `MAX_DISPATCHES_PER_SECOND`.
 */
import { createLogger } from '#shared/runtime/log.ts';
import { startCloudTasksEmulator } from './server.ts';

const log = createLogger('cloud-tasks', process.env['LOG_LEVEL'] ?? 'info');
const emulator = await startCloudTasksEmulator({
  port: Number(process.env['PORT'] ?? 0),
  maxDispatchesPerSecond: Number(process.env['MAX_DISPATCHES_PER_SECOND'] ?? 500),
  onAbandoned: (task, attempts, lastError) =>
    log.warn({ task, attempts, lastError }, 'task abandoned after its last attempt'),
});
log.info({ port: emulator.port }, 'ready');
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => void emulator.close().then(() => process.exit(0)));
}
