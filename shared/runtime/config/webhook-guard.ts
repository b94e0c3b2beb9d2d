/** Which URLs webhooks may be sent to. */
import type { EnvReader } from './env-reader.ts';

export interface WebhookGuardConfig {
  /** Hosts (names or IP literals) that may be private and may use plain http. */
  allowHosts: readonly string[];
  /** Hosts of this system, which are not valid receivers unless they are in `allowHosts`. */
  ownHosts: readonly string[];
  /** Undefined: all public hosts. */
  destinations?: DestinationsConfig | undefined;
}

/** Hosts, or `*.example.com` for all names below one. */
export interface DestinationsConfig {
  /** Undefined: all public hosts. */
  everyone: readonly string[] | undefined;
  /** Lists of single owners, which replace the one of everyone. */
  owners: ReadonlyMap<string, readonly string[]>;
}

/** @param ownUrls URLs of this system that this service knows */
export function readWebhookGuard(reader: EnvReader, ...ownUrls: readonly string[]): WebhookGuardConfig {
  return {
    allowHosts: reader.list('WEBHOOK_ALLOW_HOSTS'),
    ownHosts: ownUrls.filter((url) => URL.canParse(url)).map((url) => new URL(url).hostname),
    destinations: readDestinations(reader),
  };
}

function readDestinations(reader: EnvReader): DestinationsConfig | undefined {
  const hosts = reader.list('WEBHOOK_DESTINATIONS');
  const owners = readOwners(reader);
  for (const host of [...hosts, ...[...owners.values()].flat()]) {
    if (!/^(?:\*\.)?[\w-]+(?:\.[\w-]+)*$|^[\da-f.:[\]]+$/i.test(host)) {
      reader.problem(
        `WEBHOOK_DESTINATIONS and WEBHOOK_OWNER_DESTINATIONS must list hosts such as hooks.example.com or *.example.com, not "${host}"`,
      );
    }
  }
  if (hosts.length === 0 && owners.size === 0) return undefined;
  return { everyone: hosts.length === 0 ? undefined : hosts, owners };
}

function readOwners(reader: EnvReader): ReadonlyMap<string, readonly string[]> {
  const text = reader.optional('WEBHOOK_OWNER_DESTINATIONS');
  if (text === undefined) return new Map();
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) {
      const entries = Object.entries(json as Record<string, unknown>);
      if (entries.every((entry): entry is [string, string[]] => isTextList(entry[1])))
        return new Map(entries);
    }
  } catch {
    // Reported below.
  }
  reader.problem(
    'WEBHOOK_OWNER_DESTINATIONS must be a JSON object with a list of hosts for each owner, such as {"key:alice": ["hooks.example.com"]}',
  );
  return new Map();
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}
