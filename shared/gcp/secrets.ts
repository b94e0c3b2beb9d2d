/**
 * Reads secrets from Secret Manager. A variable with the value
 * `sm://projects/<project>/secrets/<name>/versions/<version>` is replaced by the content of that secret
 * version, once at startup, before the configuration is read. A service that can switch to a newer value
 * while it runs watches the variable.
 *
 *   watched: value ──every refresh──▶ read ──changed──▶ onValue
 *              ▲                        │ read failed or value rejected: keep the old value, log a warning
 *              └────────────────────────┘
 *
 * Only `versions/latest` is refreshed; numbered versions are read once. Values are never logged (invariant
 * 12).
 */
import type { SecretManagerServiceClient } from '@google-cloud/secret-manager';
import { ConfigError, type Environment } from '../runtime/config/env-reader.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';

export interface SecretVariables {
  /** The environment, with each `sm://` address replaced by the content of its secret. */
  readonly env: Environment;
  /**
   * Calls `onValue` with each newer content of a variable. If `onValue` throws, the value is rejected and the
   * old one stays in use. Does nothing for a variable that does not refer to `versions/latest`.
   */
  watch(name: string, log: Logger, onValue: (value: string) => void): void;
  close(): Promise<void>;
}

const prefix = 'sm://';
const addressPattern =
  /^projects\/[^/]+\/(?:locations\/[^/]+\/)?secrets\/[A-Za-z0-9_-]+\/versions\/(?:latest|\d+)$/;
const callTimeoutMs = 10_000;
const defaultRefreshSeconds = 300;

/** @throws {ConfigError} listing every malformed address and every secret that cannot be read */
export async function openSecretVariables(env: Environment): Promise<SecretVariables> {
  const problems: string[] = [];
  const addresses = new Map<string, string>();
  for (const [name, value] of Object.entries(env)) {
    if (value?.startsWith(prefix) !== true) continue;
    const address = value.slice(prefix.length).trim();
    if (addressPattern.test(address)) addresses.set(name, address);
    else problems.push(`${name} must be sm://projects/<project>/secrets/<name>/versions/<number or latest>`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  if (addresses.size === 0) return { env, watch: () => undefined, close: async () => Promise.resolve() };

  const client = await openClient(env['SECRET_MANAGER_EMULATOR_HOST']);
  const values = new Map<string, string>();
  await Promise.all(
    [...addresses].map(async ([name, address]) => {
      try {
        values.set(name, await readVersion(client, address));
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
  if (!(refreshMs >= 10)) {
    throw new ConfigError(['SECRETS_REFRESH_SECONDS must be a number of at least 0.01']);
  }
  const timers: NodeJS.Timeout[] = [];

  return {
    env: { ...env, ...Object.fromEntries(values) },
    watch: (name, log, onValue) => {
      const address = addresses.get(name);
      if (address?.endsWith('/latest') !== true) return;
      let rejected: string | undefined;
      const refresh = async (): Promise<void> => {
        const value = await readVersion(client, address);
        if (value === values.get(name) || value === rejected) return;
        try {
          onValue(value);
        } catch (error) {
          rejected = value;
          throw error;
        }
        rejected = undefined;
        values.set(name, value);
        log.info({ variable: name, secret: address }, 'secret changed; the new value is in use');
      };
      const timer = setInterval(() => {
        void refresh().catch((error: unknown) => {
          log.warn(
            { variable: name, secret: address, error: errorMessage(error) },
            'secret could not be refreshed; the old value stays in use',
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

async function readVersion(client: SecretManagerServiceClient, name: string): Promise<string> {
  const [version] = await client.accessSecretVersion({ name }, { timeout: callTimeoutMs });
  const data = version.payload?.data;
  if (data === null || data === undefined || data.length === 0) throw new Error('the content is empty');
  return Buffer.from(data as Uint8Array).toString('utf8');
}

/** The client is large. It is loaded only if a variable refers to a secret. */
async function openClient(emulatorHost: string | undefined): Promise<SecretManagerServiceClient> {
  const { SecretManagerServiceClient } = await import('@google-cloud/secret-manager');
  if (emulatorHost === undefined) return new SecretManagerServiceClient();
  const { createEmulatorOptions } = await import('./emulator.ts');
  return new SecretManagerServiceClient(createEmulatorOptions(emulatorHost));
}
