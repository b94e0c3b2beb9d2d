/**
 * `longhaul webhooks receive`: a receiver that verifies webhooks and prints them, on this machine or as a service of its
 * own. deploy/steps/receiver.sh runs it on Cloud Run.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { environment } from '#shared/runtime/config/environment.ts';
import { signingSecretProblem } from '#shared/webhooks/secrets.ts';
import type { JsonWebKeySet, VerifyOptions } from '../../../../sdk/webhooks.ts';
import { CliError, exitStatus, usageError, type ExitStatus } from '../../failure.ts';
import { stateName } from '../../output/task-printer.ts';
import { print, printError, printJson, toTerminalText } from '../../output/terminal.ts';
import { createReceiver, type Received } from '../../receiver/receiver.ts';
import { runAction } from '../../run.ts';
import { checkUrl, jsonOption } from '../../settings/settings.ts';

interface ReceiveOptions {
  port?: number;
  host: string;
  jwks?: string;
  address?: string;
  json?: boolean;
}

const defaultPort = 9_000;

export function addReceiveCommand(group: Command): void {
  group
    .command('receive')
    .description('Receive webhooks, verify and print them, until it is interrupted.')
    .option('--port <number>', `port to listen on; 0 for any (default: PORT, or ${defaultPort})`, parsePort)
    .option('--host <address>', 'address to listen on; 0.0.0.0 for all', '127.0.0.1')
    .option('--jwks <url|file>', "the agent's public keys, instead of the secret in WEBHOOK_SECRET")
    .option('--address <url>', 'the URL under which the webhook is registered; required with --jwks')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
GET /?task=ID answers how many webhooks of a task were verified, and whether its result was among them.

Examples:
  WEBHOOK_SECRET=whsec_… longhaul webhooks receive
  longhaul webhooks receive --host 0.0.0.0 --jwks https://agent.example/.well-known/webhook-jwks.json --address https://you.example/`,
    )
    .action((options: ReceiveOptions) => runAction(() => receive(options)));
}

async function receive({ json = false, host, port, ...options }: ReceiveOptions): Promise<ExitStatus> {
  const server = createReceiver(readVerifyOptions(options), (received) => {
    if (json) printJson(toJson(received));
    else print(toTerminalText(toLine(received)));
  });
  server.listen(port ?? readPort(), host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new CliError(`cannot listen: ${(error as Error).message}`, { cause: error });
  }
  const { port: own } = server.address() as AddressInfo;
  printError(`receiving webhooks at http://${host.includes(':') ? `[${host}]` : host}:${own}/`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      server.close();
      server.closeAllConnections();
    });
  }
  await once(server, 'close');
  return exitStatus.done;
}

function readVerifyOptions({ jwks = '', address }: Pick<ReceiveOptions, 'jwks' | 'address'>): VerifyOptions {
  const secret = environment['WEBHOOK_SECRET'] || undefined;
  if ((jwks === '') === (secret === undefined)) {
    throw usageError('expected either the secret of the webhook in WEBHOOK_SECRET, or --jwks');
  }
  if (address !== undefined) checkUrl(address);
  if (secret !== undefined) {
    const problem = signingSecretProblem(secret);
    if (problem !== undefined) throw usageError(`WEBHOOK_SECRET is not valid: ${problem}`);
    return { secret, ...(address !== undefined && { url: address }) };
  }
  if (address === undefined) {
    throw usageError('--jwks needs --address: the keys of an agent sign the webhooks of all receivers');
  }
  return { jwks: /^https?:/.test(jwks) ? jwks : readKeys(jwks), url: address };
}

function readKeys(file: string): JsonWebKeySet {
  try {
    const keys = JSON.parse(readFileSync(file, 'utf8')) as JsonWebKeySet;
    if (Array.isArray(keys.keys)) return keys;
  } catch (error) {
    throw usageError(`${file} cannot be read: ${(error as Error).message}`);
  }
  throw usageError(`${file} is not a JWK set: expected {"keys": […]}`);
}

function readPort(): number {
  return environment['PORT'] ? parsePort(environment['PORT']) : defaultPort;
}

function parsePort(value: string): number {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65_535) {
    throw new InvalidArgumentError('Expected a port: a whole number from 0 to 65535.');
  }
  return port;
}

function toLine({ event, problem }: Received): string {
  if (event === undefined) return `refused: ${problem}`;
  const number = event.event === undefined ? 'test' : `event ${event.event}`;
  return `${event.taskId} ${number} ${describe(event)}: verified`;
}

function describe(event: NonNullable<Received['event']>): string {
  if (event.type === 'artifact') return `artifact ${event.artifactUpdate.artifact.artifactId}`;
  if (event.type === 'v0.3') return 'task of A2A 0.3';
  const { status } = event.type === 'task' ? event.task : event.statusUpdate;
  return stateName(status?.state ?? 'TASK_STATE_UNSPECIFIED');
}

function toJson({ event, problem }: Received): object {
  return event === undefined ? { verified: false, problem } : { verified: true, ...event };
}
