/**
 * The entries of `API_KEYS`: `owner:hash[:label]`, followed by options that are separated by spaces.
 *
 *   alice:5e88…:laptop expires=2027-01-31 scopes=read+send
 *
 * Entries may contain plain keys by mistake, so problems name their position and never quote them.
 */
import { allScopes, ownScopes, type Scope } from '../../domain/scopes.ts';
import type { EnvReader } from './env-reader.ts';

export interface ApiKeyEntry {
  owner: string;
  sha256: Buffer;
  /** Names the key in the audit log, so that operators can rotate it. Not part of the identity. */
  label: string | undefined;
  scopes: ReadonlySet<Scope>;
  /** Milliseconds since 1970, by the clock of the database. Undefined: never. */
  expiresAt: number | undefined;
}

const entryPattern = /^([^:\s]+):([0-9a-fA-F]{64})(?::([^\s:][^:]*?))?((?:\s+\w+=\S*)*)$/;
const timePattern = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2}))?$/;

/** @throws {Error} listing all problems of the text, without its content */
export function requireApiKeys(text: string): readonly ApiKeyEntry[] {
  const { entries, problems } = parseApiKeys(text);
  if (problems.length > 0) throw new Error(problems.join('. '));
  return entries;
}

export function readApiKeys(reader: EnvReader): readonly ApiKeyEntry[] {
  const { entries, problems } = parseApiKeys(reader.secret('API_KEYS') ?? '');
  for (const problem of problems) reader.problem(problem);
  return entries;
}

function parseApiKeys(text: string): { entries: ApiKeyEntry[]; problems: string[] } {
  const lines = text
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const parsed = lines.map((line, index) => parseEntry(line, `entry ${index + 1} of API_KEYS`));
  const problems = parsed.filter((entry) => typeof entry === 'string');
  const entries = parsed.filter((entry) => typeof entry !== 'string');
  if (lines.length === 0) {
    problems.push('AUTH_MODES=api-key needs at least one entry in API_KEYS or API_KEYS_FILE');
  }
  if (new Set(entries.map(({ sha256 }) => sha256.toString('hex'))).size < entries.length) {
    problems.push('API_KEYS contains a key twice: each key has one entry with one owner');
  }
  return { entries, problems };
}

/** Returns the entry, or its problem. */
function parseEntry(line: string, name: string): ApiKeyEntry | string {
  const [, owner, sha256, label, options = ''] = entryPattern.exec(line) ?? [];
  if (owner === undefined || sha256 === undefined) {
    return `${name} must be owner:hash or owner:hash:label, with the SHA-256 of the key as 64 hex digits, and then expires=TIME or scopes=SCOPE+SCOPE`;
  }
  const entry: ApiKeyEntry = {
    owner,
    sha256: Buffer.from(sha256, 'hex'),
    label,
    scopes: ownScopes,
    expiresAt: undefined,
  };
  const named = new Set<string>();
  for (const option of options.split(/\s+/).filter((text) => text !== '')) {
    const [key = '', value = ''] = option.split('=');
    if (named.has(key)) return `${name} has the option ${key} twice`;
    named.add(key);
    const problem = setOption(entry, key, value);
    if (problem !== undefined) return `${name}: ${problem}`;
  }
  return entry;
}

function setOption(entry: ApiKeyEntry, key: string, value: string): string | undefined {
  switch (key) {
    case 'expires': {
      const time = Date.parse(value);
      if (!timePattern.test(value) || Number.isNaN(time)) {
        return 'expires must be a day or a time with its zone, such as 2027-01-31 (from 00:00 UTC) or 2027-01-31T18:00:00Z';
      }
      entry.expiresAt = time;
      return undefined;
    }
    case 'scopes': {
      const named = value.split('+');
      const scopes = allScopes.filter((scope) => named.includes(scope));
      if (scopes.length < named.length) return `scopes must list only ${allScopes.join(', ')}, joined by +`;
      entry.scopes = new Set(scopes);
      return undefined;
    }
    default:
      return 'options must be expires or scopes';
  }
}
