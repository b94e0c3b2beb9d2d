/**
 * Secrets by Secret Manager: a variable whose value is `sm://projects/<project>/secrets/<name>/versions/<version>` stands
 * for the secret's content. It is read once at the start, before the configuration; a service that can take a newer value
 * while it runs watches the variable.
 *
 *   watched: value ──every refresh──▶ read ──changed──▶ handed on
 *              ▲                        │ error, or refused: the value before stays, and a warning is logged
 *              └────────────────────────┘
 *
 * Only `versions/latest` changes; a numbered version is read once. Nothing that is read here is logged (invariant 12).
 */
import type { SecretManagerServiceClient } from '@google-cloud/secret-manager';
import { ConfigError, type Environment } from '../runtime/config/env-reader.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';

export interface SecretVariables {
  /** The environment with the contents in place of the addresses. */
  readonly env: Environment;
  /**
   * Hands on each newer content of a variable. What `onValue` throws refuses it: the one before stays in use. Does nothing
   * for a variable that is no address of a latest version.
   */
  watch(name: string, log: Logger, onValue: (value: string) => void): void;
  close(): Promise<void>;
}

const prefix = 'sm://';
const form = /^projects\/[^/]+\/(?:locations\/[^/]+\/)?secrets\/[A-Za-z0-9_-]+\/versions\/(?:latest|\d+)$/;
const callTimeoutMs = 10_000;
const defaultRefreshSeconds = 300;

/** @throws {ConfigError} with every secret that is named wrongly or cannot be read */
export async function openSecretVariables(env: Environment): Promise<SecretVariables> {
  const problems: string[] = [];
  const addresses = new Map<string, string>();
  for (const [name, value] of Object.entries(env)) {
    if (value?.startsWith(prefix) !== true) continue;
    const address = value.slice(prefix.length).trim();
    if (form.test(address)) addresses.set(name, address);
    else problems.push(`${name} must be sm://projects/<project>/secrets/<name>/versions/<number or latest>`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (addresses.size === 0) return { env, watch: () => undefined, close: async () => Promise.resolve() };

  const client = await openClient(env['SECRET_MANAGER_EMULATOR_HOST']);
  const values = new Map<string, string>();
  await Promise.all(
    [...addresses].map(async ([name, address]) => {
      try {
        values.set(name, await read(client, address));
      } catch (error) {
        problems.push(`${name}: the secret ${address} cannot be read: ${errorMessage(error)}`);
      }
    }),
  );
  if (problems.length > 0) {
    await client.close();
    throw new ConfigError(problems);
  }

  const refreshMs = 1000 * Number(env['SECRETS_REFRESH_SECONDS'] ?? defaultRefreshSeconds);
  if (!(refreshMs >= 10)) throw new ConfigError(['SECRETS_REFRESH_SECONDS must be a number of seconds']);
  const timers: NodeJS.Timeout[] = [];

  return {
    env: { ...env, ...Object.fromEntries(values) },
    watch: (name, log, onValue) => {
      const address = addresses.get(name);
      if (address?.endsWith('/latest') !== true) return;
      let refused: string | undefined;
      const refresh = async (): Promise<void> => {
        const value = await read(client, address);
        if (value === values.get(name) || value === refused) return;
        try {
          onValue(value);
        } catch (error) {
          refused = value;
          throw error;
        }
        refused = undefined;
        values.set(name, value);
        log.info({ variable: name, secret: address }, 'a secret was changed; the new value is in use');
      };
      const timer = setInterval(() => {
        void refresh().catch((error: unknown) => {
          log.warn(
            { variable: name, secret: address, error: errorMessage(error) },
            'a secret could not be renewed; the value before stays in use',
          );
        });
      }, refreshMs);
      timers.push(timer.unref());
    },
    close: async () => {
      for (const timer of timers) clearInterval(timer);
      await client.close();
    },
  };
}

async function read(client: SecretManagerServiceClient, name: string): Promise<string> {
  const [version] = await client.accessSecretVersion({ name }, { timeout: callTimeoutMs });
  const data = version.payload?.data;
  if (data === null || data === undefined || data.length === 0) throw new Error('it is empty');
  return Buffer.from(data as Uint8Array).toString('utf8');
}

/** The client is large: it is loaded only where a variable names a secret. */
async function openClient(emulatorHost: string | undefined): Promise<SecretManagerServiceClient> {
  const { SecretManagerServiceClient } = await import('@google-cloud/secret-manager');
  if (emulatorHost === undefined) return new SecretManagerServiceClient();
  const [{ credentials }, { PassThroughClient }] = await Promise.all([
    import('@grpc/grpc-js'),
    import('google-auth-library'),
  ]);
  const { hostname, port } = new URL(`http://${emulatorHost}`);
  return new SecretManagerServiceClient({
    apiEndpoint: hostname,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    authClient: new PassThroughClient(),
  });
}
