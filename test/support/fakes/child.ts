/**
 * A child for the supervisor to keep, that does as its environment says: `LISTEN` listens on PORT, answers /health/ready
 * and says "ready"; `FAIL` ends at the start with that exit code; `IGNORE_SIGTERM`; `DRAIN_MS` before it ends.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const say = (message: string, fields = {}): void =>
  console.log(JSON.stringify({ severity: 'INFO', message, pid: process.pid, ...fields }));

if (process.env['FAIL'] !== undefined) {
  console.error('Error: the cellar is flooded');
  process.exit(Number(process.env['FAIL']));
}
const server = createServer((_request, response) => response.end());
server.listen(Number(process.env['PORT']), '127.0.0.1', () => {
  say('ready', { port: (server.address() as AddressInfo).port });
});
process.on('SIGTERM', () => {
  say('draining');
  if (process.env['IGNORE_SIGTERM'] !== undefined) return;
  setTimeout(
    () => {
      say('drained');
      process.exit(0);
    },
    Number(process.env['DRAIN_MS'] ?? 0),
  );
});
