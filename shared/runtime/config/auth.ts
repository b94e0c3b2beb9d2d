/**
 * How callers of the front door are authenticated, as the environment says. `AUTH_MODES` names the ways that are
 * taken; `none` stands alone, so that nobody opens a door beside the locks by mistake.
 */
import type { EnvReader } from './env-reader.ts';

export interface ApiKeyEntry {
  owner: string;
  sha256: Buffer;
  /** For people who rotate keys; never a part of an identity. */
  label: string | undefined;
}

export interface JwtIssuer {
  issuer: string;
  audience: string[];
  /** Where the issuer's keys are; undefined: where its OpenID configuration says. */
  jwksUrl: string | undefined;
}

export interface AuthConfig {
  /** Undefined: the mode is off. All undefined: anybody may call, and all are one. */
  apiKeys: readonly ApiKeyEntry[] | undefined;
  jwt: readonly JwtIssuer[] | undefined;
  cloudRunIam: { audience: string[] } | undefined;
}

const modes = ['none', 'api-key', 'jwt', 'cloud-run-iam'] as const;

export function readAuth(reader: EnvReader): AuthConfig {
  const named = reader.list('AUTH_MODES');
  const unknown = named.filter((name) => !modes.some((mode) => mode === name));
  if (unknown.length > 0) {
    reader.problem(`AUTH_MODES must be of ${modes.join(', ')}; unknown: ${unknown.join(', ')}`);
  }
  const on = (mode: (typeof modes)[number]): boolean => named.includes(mode);
  if (on('none') && named.length > 1) {
    reader.problem('AUTH_MODES has none beside others: none lets anybody in, so it must stand alone');
  }
  if (on('jwt') && on('cloud-run-iam')) {
    reader.problem('AUTH_MODES has jwt and cloud-run-iam, which read the same header: choose one of them');
  }
  return {
    apiKeys: on('api-key') ? readApiKeys(reader) : undefined,
    jwt: on('jwt') ? readIssuers(reader) : undefined,
    cloudRunIam: on('cloud-run-iam') ? { audience: readAudience(reader) } : undefined,
  };
}

function readApiKeys(reader: EnvReader): ApiKeyEntry[] {
  const lines = (reader.secret('API_KEYS') ?? '')
    .split(/[\n,]/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const entries = lines.flatMap((line, index) => {
    const [, owner, sha256, label] = /^([^:\s]+):([0-9a-fA-F]{64})(?::(.*))?$/.exec(line) ?? [];
    if (owner === undefined || sha256 === undefined) {
      // The line itself may hold a key in the clear: it is counted, not shown.
      reader.problem(
        `entry ${index + 1} of API_KEYS must be owner:hash or owner:hash:label, the hash being the SHA-256 of the key as 64 hex digits`,
      );
      return [];
    }
    return [{ owner, sha256: Buffer.from(sha256, 'hex'), label }];
  });
  if (lines.length === 0) {
    reader.problem('AUTH_MODES has api-key, but neither API_KEYS nor the file of API_KEYS_FILE has an entry');
  }
  const hashes = entries.map(({ sha256 }) => sha256.toString('hex'));
  if (new Set(hashes).size < hashes.length) {
    reader.problem('API_KEYS names a key twice: a key has one owner and one entry');
  }
  return entries;
}

const issuersForm =
  'JWT_ISSUERS must be a JSON array such as [{"issuer":"https://issuer.example","audience":"https://agent.example"}], each with an optional jwksUrl';

function readIssuers(reader: EnvReader): JwtIssuer[] {
  const several = reader.optional('JWT_ISSUERS');
  if (several === undefined) {
    const audience = reader.list('JWT_AUDIENCE');
    if (audience.length === 0) reader.problem('JWT_AUDIENCE is not set: tokens for others would be taken');
    const jwksUrl = reader.optional('JWT_JWKS_URL');
    const issuer = { issuer: reader.string('JWT_ISSUER'), audience, jwksUrl };
    return issuer.issuer === '' ? [] : [checkUrls(reader, issuer)];
  }
  for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_JWKS_URL']) {
    if (reader.optional(name) !== undefined)
      reader.problem(`${name} is set beside JWT_ISSUERS: use one of them`);
  }
  const issuers = parseArray(several)?.map(asIssuer);
  if (issuers === undefined || issuers.length === 0 || issuers.includes(undefined)) {
    reader.problem(issuersForm);
    return [];
  }
  const known = issuers.filter((one) => one !== undefined);
  if (new Set(known.map(({ issuer }) => issuer)).size < known.length) {
    reader.problem('JWT_ISSUERS names an issuer twice: give it an array as its audience instead');
  }
  return known.map((issuer) => checkUrls(reader, issuer));
}

function parseArray(text: string): unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function asIssuer(value: unknown): JwtIssuer | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { issuer, audience, jwksUrl, ...others } = value as Record<string, unknown>;
  const audiences: unknown[] = Array.isArray(audience) ? audience : [audience];
  const isText = (one: unknown): one is string => typeof one === 'string' && one !== '';
  if (!isText(issuer) || audiences.length === 0 || !audiences.every(isText)) return undefined;
  if ((jwksUrl !== undefined && !isText(jwksUrl)) || Object.keys(others).length > 0) return undefined;
  return { issuer, audience: audiences, jwksUrl };
}

/** Keys that are fetched in the clear could be anybody's, but for this machine's own. */
function checkUrls(reader: EnvReader, issuer: JwtIssuer): JwtIssuer {
  for (const url of [issuer.issuer, issuer.jwksUrl]) {
    if (url === undefined) continue;
    const { protocol, hostname } = URL.canParse(url) ? new URL(url) : {};
    const local = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
    if (protocol !== 'https:' && !(protocol === 'http:' && local)) {
      reader.problem(`the issuer and its jwksUrl must be https URLs, not "${url}"`);
    }
  }
  return issuer;
}

function readAudience(reader: EnvReader): string[] {
  const audience = reader.list('CLOUD_RUN_AUDIENCE');
  if (audience.length === 0) {
    reader.problem('CLOUD_RUN_AUDIENCE is not set: name the URLs that callers ask their tokens for');
  }
  return audience;
}
