/**
 * Runs the offline model as a process. Reads `PORT` (default 8085; 0: any free port) and ends on SIGTERM or
 * SIGINT.
 */
import { startOfflineModel } from './server.ts';

function log(message: string, fields = {}): void {
  const entry = {
    severity: 'INFO',
    time: new Date().toISOString(),
    service: 'offline-model',
    message,
    ...fields,
  };
  console.log(JSON.stringify(entry));
}

const model = await startOfflineModel({ port: Number(process.env['PORT'] ?? 8085) });
log('ready', { port: model.port });

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    log('stopping', { signal });
    void model.close();
  });
}
