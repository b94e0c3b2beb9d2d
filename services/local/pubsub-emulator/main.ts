/**
 * Runs the Pub/Sub emulator as a process. Reads `PORT` (gRPC) and `JWKS_PORT` (public keys). Default: any
 * free port.
 */
import { startPubSubEmulator } from './emulator.ts';

const emulator = await startPubSubEmulator({
  port: Number(process.env.PORT ?? 0),
  jwksPort: Number(process.env.JWKS_PORT ?? 0),
});
log('ready', { port: Number(emulator.host.split(':')[1]), host: emulator.host, jwksUrl: emulator.jwksUrl });

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.once(signal, () => {
    void emulator.close().then(() => process.exit(0));
  });
}

function log(message: string, fields: Record<string, unknown>): void {
  const time = new Date().toISOString();
  console.log(JSON.stringify({ severity: 'INFO', time, service: 'pubsub-emulator', message, ...fields }));
}
