/**
 * Reads secrets from Secret Manager. A variable with the value
 * `sm://projects/<project>/secrets/<name>/versions/<version>` is replaced by the content of that secret
 * version, once at startup, before the configuration is read. A service that can switch to a newer value
 * while it runs watches the variable (runtime/config/refresh.ts).
 *
 * Watched are `versions/latest` and files: numbered versions are read once. Values are never logged (invariant 12).
 */
import type { SecretManagerServiceClient } from '@google-cloud/secret-manager';
import { ConfigError, type Environment } from '../runtime/config/env-reader.ts';
import { createFileReader, refreshValue } from '../runtime/config/refresh.ts';
import { errorMessage, type Logger } from '../runtime/log.ts';

export interface SecretVariables {
  /** The environment, with each `sm://` address replaced by the content of its secret. */
  readonly env: Environment;
  /**
   * Calls `onValue` with each newer content of a variable. If `onValue` throws, the value is rejected and the
   * old one stays in use. Does nothing for a variable that refers neither to `versions/latest` nor, as `NAME_FILE`, to a
   * file.
   */
  watch(name: string, log: Logger, onValue: (value: string) => void): void;
  close(): Promise<void>;
}

const prefix = 'sm://';
const addressPattern =
  /^projects\/[^/]+\/(?:locations\/[^/]+\/)?secrets\/[A-Za-z0-9_-]+\/versions\/(?:latest|\d+)$/;
const callTimeoutMs = 10_000;
const defaultRefreshSeconds = 300;
/** Reading a file costs next to nothing, and a revoked key must not work for long. */
const fileRefreshMs = 2_000;

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
  const refreshMs = 1000 * Number(env['SECRETS_REFRESH_SECONDS'] ?? defaultRefreshSeconds);
  if (!(refreshMs >= 10)) {
    throw new ConfigError(['SECRETS_REFRESH_SECONDS must be a number of at least 0.01']);
  }
  const client = addresses.size === 0 ? undefined : await openClient(env['SECRET_MANAGER_EMULATOR_HOST']);
  const values = new Map<string, string>();
  if (client !== undefined) {
    const reads = [...addresses].map(async ([name, address]) => {
      try {
        values.set(name, await readVersion(client, address));
      } catch (error) {
        problems.push(`${name}: the secret ${address} cannot be read: ${errorMessage(error)}`);
      }
    });
    await Promise.all(reads);
  }
  if (problems.length > 0) {
    await client?.close();
    throw new ConfigError(problems);
  }
  const stops: (() => void)[] = [];

  return {
    env: addresses.size === 0 ? env : { ...env, ...Object.fromEntries(values) },
    watch: (name, log, onValue) => {
      const address = addresses.get(name);
      const file = env[`${name}_FILE`]?.trim() ?? '';
      if (client !== undefined && address?.endsWith('/latest') === true) {
        const read = (): Promise<string> => readVersion(client, address);
        const value = values.get(name);
        stops.push(
          refreshValue({ variable: name, source: address, value, read, onValue, everyMs: refreshMs, log }),
        );
      } else if (file !== '') {
        const read = createFileReader(file);
        const everyMs = Math.min(refreshMs, fileRefreshMs);
        stops.push(
          refreshValue({ variable: name, source: file, value: undefined, read, onValue, everyMs, log }),
        );
      }
    },
    close: async () => {
      for (const stop of stops) stop();
      await client?.close();
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
