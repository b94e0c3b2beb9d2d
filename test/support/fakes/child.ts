/**
 * A fake child for the supervisor. It listens on PORT, responds to health checks and logs "ready". `FAIL` makes it exit
 * at the start with that code. On SIGTERM it exits after `DRAIN_MS`, or not at all with `IGNORE_SIGTERM`.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const log = (message: string, fields = {}): void =>
  console.log(JSON.stringify({ severity: 'INFO', message, pid: process.pid, ...fields }));

if (process.env['FAIL'] !== undefined) {
  console.error('Error: cannot start');
  process.exit(Number(process.env['FAIL']));
}
const server = createServer((_request, response) => response.end());
server.listen(Number(process.env['PORT']), '127.0.0.1', () => {
  log('ready', { port: (server.address() as AddressInfo).port });
});
process.on('SIGTERM', () => {
  log('draining');
  if (process.env['IGNORE_SIGTERM'] !== undefined) return;
  setTimeout(
    () => {
      log('drained');
      process.exit(0);
    },
    Number(process.env['DRAIN_MS'] ?? 0),
  );
});
