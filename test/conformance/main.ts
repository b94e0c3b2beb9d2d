/**
 * `npm run conformance` starts the system for the A2A conformance kit: two API processes behind a round-robin proxy, two
 * workers, a dispatcher and the agent of this folder. With a command as its arguments, it runs that command with SUT_URL
 * set and exits with its code. Otherwise it serves until it is stopped. OFFER selects the capabilities of the card. With `mcp` it
 * runs the suite of MCP instead (mcp/main.ts).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { exportJWK, generateKeyPair } from 'jose';
import { aliceKey, apiKeysEnv } from '../support/services/api-keys.ts';
import { createCleanup } from '../support/cleanup.ts';
import { freePort } from '../support/network/ports.ts';
import { startStack } from '../support/stack.ts';
import { runMcpConformance } from './mcp/main.ts';
import { proxyTcp, proxyHttp, proxyHttp2 } from './proxy.ts';

if (process.argv[2] === 'mcp') process.exit(await runMcpConformance(process.argv.slice(3)));

interface Offer {
  env: Record<string, string>;
  /** Whether the proxy adds an API key to the requests, because the kits send none. */
  withKey?: true;
}

/** The values of OFFER (see README.md). */
const offers: Record<string, () => Promise<Offer>> = {
  plain: async () => ({ env: {} }),
  everything: async () => ({
    env: { ...apiKeysEnv(), A2A_VERSIONS: '1.0', CARD_SIGNING_KEY: await createSigningKey() },
    withKey: true,
  }),
  nothing: async () => ({
    env: { A2A_VERSIONS: '1.0', A2A_STREAMING: 'false', A2A_PUSH_NOTIFICATIONS: 'false' },
  }),
  extension: async () => ({ env: { A2A_REQUIRED_EXTENSIONS: 'urn:a2a:tck:required-extension' } }),
  callers: async () => ({ env: apiKeysEnv(), withKey: true }),
  strangers: async () => ({ env: apiKeysEnv() }),
};

async function createSigningKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  return JSON.stringify(await exportJWK(privateKey));
}

const offer = process.env['OFFER'] ?? 'plain';
const chosen = await offers[offer]?.();
if (chosen === undefined)
  throw new Error(`OFFER is "${offer}": expected one of ${Object.keys(offers).join(', ')}`);

const cleanup = createCleanup();

const [port, grpcPort] = [await freePort(), await freePort()];
const stack = await startStack(cleanup, {
  AGENT_MODULE: path.resolve(import.meta.dirname, 'agent.ts'),
  AGENT_FILE: path.resolve(import.meta.dirname, 'agent.yaml'),
  // The kit reuses message ids and expects a new task each time.
  IDEMPOTENCY_WINDOW_SECONDS: '0',
  PUBLIC_URL: `http://127.0.0.1:${port}`,
  // The kit for 0.3 accepts only a URL for gRPC.
  GRPC_PUBLIC_TARGET: `${process.env['GRPC_URL_SCHEME'] ?? ''}127.0.0.1:${grpcPort}`,
  LEASE_SECONDS: '30',
  WAKEUP_GRACE_SECONDS: '10',
  RECONCILE_SECONDS: '2',
  ...chosen.env,
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
const [httpPorts, grpcPorts] = [ports.map((own) => own.http), ports.map((own) => own.grpc)];
if (chosen.withKey === true) {
  proxyHttp(port, httpPorts, aliceKey);
  proxyHttp2(grpcPort, grpcPorts, aliceKey);
} else {
  proxyTcp(port, httpPorts);
  proxyTcp(grpcPort, grpcPorts);
}

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
await cleanup.run();
process.exit();
