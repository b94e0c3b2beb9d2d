/**
 * `npm run conformance`: the system as the A2A conformance kit is to meet it. Two processes of the front door behind a
 * proxy that takes them in turn, two workers, and the agent of this folder. With a command after `--`, runs that
 * command with SUT_URL set, and ends with it; without, serves until it is stopped.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { freePort, startStack } from '../support/stack.ts';

const cleanups: (() => unknown)[] = [];
const cleanup = { after: (run: () => unknown) => void cleanups.unshift(run) };

const [port, grpcPort] = [await freePort(), await freePort()];
const stack = await startStack(cleanup, {
  AGENT_MODULE: path.resolve(import.meta.dirname, 'agent.ts'),
  AGENT_FILE: path.resolve(import.meta.dirname, 'agent.yaml'),
  // The kit sends one message id many times, and expects a new task each time.
  IDEMPOTENCY_WINDOW_SECONDS: '0',
  PUBLIC_URL: `http://127.0.0.1:${port}`,
  GRPC_PUBLIC_TARGET: `127.0.0.1:${grpcPort}`,
  LEASE_SECONDS: '30',
  BELL_GRACE_SECONDS: '10',
  RECONCILE_SECONDS: '2',
  ...(process.env as Record<string, string>),
});
const ports = await Promise.all(
  [1, 2].map(async () => {
    const own = { http: await freePort(), grpc: await freePort() };
    await stack.start('api', { PORT: String(own.http), GRPC_PORT: String(own.grpc) });
    return own;
  }),
);
await Promise.all([stack.start('worker'), stack.start('worker'), stack.start('dispatcher')]);
takeTurns(
  port,
  ports.map((own) => own.http),
);
takeTurns(
  grpcPort,
  ports.map((own) => own.grpc),
);

const url = `http://127.0.0.1:${port}`;
console.log(`serving ${url}, gRPC at 127.0.0.1:${grpcPort}`);
const [command, ...args] = process.argv.slice(2);
if (command === undefined) {
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
} else {
  const kit = spawn(command, args, { stdio: 'inherit', env: { ...process.env, SUT_URL: url } });
  const [code] = (await once(kit, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}
for (const run of cleanups) await run();
process.exit();

/** Each connection goes to the next of the targets. */
function takeTurns(at: number, targets: readonly number[]): void {
  let next = 0;
  createServer((client) => {
    const target = connect(targets[next++ % targets.length] ?? 0, '127.0.0.1');
    client.pipe(target).pipe(client);
    client.on('error', () => target.destroy());
    target.on('error', () => client.destroy());
  }).listen(at, '127.0.0.1');
}
