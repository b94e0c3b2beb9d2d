/**
 * How the api service authenticates its callers. `AUTH_MODES` lists the accepted modes. `none` cannot be
 * combined with other modes, so that authentication is not disabled by mistake.
 */
import { readApiKeys, type ApiKeyEntry } from './api-keys.ts';
import { loopback } from './database.ts';
import type { EnvReader } from './env-reader.ts';

export interface JwtIssuer {
  issuer: string;
  audience: string[];
  /** URL of the issuer's keys; if undefined, it is read from the issuer's OpenID configuration. */
  jwksUrl: string | undefined;
}

/** Access tokens of Google accounts, which are opaque: Google is asked about each. */
export interface GoogleOAuth {
  /** Ids of the OAuth clients whose tokens are accepted. */
  audience: string[];
  tokenInfoUrl: string;
}

export interface AuthConfig {
  /** Undefined modes are off. With all modes off, anyone may call, and all callers share one identity. */
  apiKeys: readonly ApiKeyEntry[] | undefined;
  jwt: readonly JwtIssuer[] | undefined;
  cloudRunIam: { audience: string[] } | undefined;
  googleOAuth?: GoogleOAuth | undefined;
  /** Owners whose tokens have the scope `operator`. API keys name their scopes themselves. */
  operators: readonly string[];
}

export function isAuthenticationOn(config: AuthConfig): boolean {
  const { apiKeys, jwt, cloudRunIam, googleOAuth } = config;
  return [apiKeys, jwt, cloudRunIam, googleOAuth].some((mode) => mode !== undefined);
}

const modes = ['none', 'api-key', 'jwt', 'cloud-run-iam', 'google-oauth'] as const;
/** At most one of them: they read the same header. */
const tokenModes = ['jwt', 'cloud-run-iam', 'google-oauth'] as const;

export function readAuth(reader: EnvReader): AuthConfig {
  const listed = reader.list('AUTH_MODES');
  const unknown = listed.filter((name) => !modes.some((mode) => mode === name));
  if (unknown.length > 0) {
    reader.problem(`AUTH_MODES must list only ${modes.join(', ')}, not "${unknown.join(',')}"`);
  }
  const on = (mode: (typeof modes)[number]): boolean => listed.includes(mode);
  if (on('none') && listed.length > 1) {
    reader.problem('AUTH_MODES must not combine none with other modes: none lets anyone call');
  }
  const readers = tokenModes.filter(on);
  if (readers.length > 1) {
    reader.problem(`AUTH_MODES must not combine ${readers.join(' and ')}, which use the same header`);
  }
  return {
    apiKeys: on('api-key') ? readApiKeys(reader) : undefined,
    jwt: on('jwt') ? readIssuers(reader) : undefined,
    cloudRunIam: on('cloud-run-iam') ? { audience: readAudience(reader) } : undefined,
    googleOAuth: on('google-oauth') ? readGoogleOAuth(reader) : undefined,
    operators: readOperators(reader),
  };
}

function readOperators(reader: EnvReader): string[] {
  const operators = reader.list('OPERATORS');
  for (const operator of operators) {
    if (!/^https?:\/\/[^|]+\|[^|]+$/.test(operator)) {
      reader.problem(
        `OPERATORS must list callers with a token, as ISSUER|SUBJECT, not "${operator}": an API key gets the scope operator in API_KEYS`,
      );
    }
  }
  return operators;
}

const issuersFormat =
  'JWT_ISSUERS must be a JSON array such as [{"issuer":"https://issuer.example","audience":"https://agent.example"}], each with an optional jwksUrl';

function readIssuers(reader: EnvReader): JwtIssuer[] {
  const list = reader.optional('JWT_ISSUERS');
  if (list === undefined) {
    const audience = reader.list('JWT_AUDIENCE');
    if (audience.length === 0)
      reader.problem('JWT_AUDIENCE is not set: tokens for other services would be accepted');
    const jwksUrl = reader.optional('JWT_JWKS_URL');
    const issuer = { issuer: reader.string('JWT_ISSUER'), audience, jwksUrl };
    return issuer.issuer === '' ? [] : [checkUrls(reader, issuer)];
  }
  for (const name of ['JWT_ISSUER', 'JWT_AUDIENCE', 'JWT_JWKS_URL']) {
    if (reader.optional(name) !== undefined)
      reader.problem(`${name} and JWT_ISSUERS are both set: remove one`);
  }
  const issuers = parseArray(list)?.map(toIssuer);
  if (issuers === undefined || issuers.length === 0 || issuers.includes(undefined)) {
    reader.problem(issuersFormat);
    return [];
  }
  const known = issuers.filter((issuer) => issuer !== undefined);
  if (new Set(known.map(({ issuer }) => issuer)).size < known.length) {
    reader.problem('JWT_ISSUERS contains an issuer twice: list all audiences in one entry');
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

function toIssuer(value: unknown): JwtIssuer | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { issuer, audience, jwksUrl, ...others } = value as Record<string, unknown>;
  const audiences: unknown[] = Array.isArray(audience) ? audience : [audience];
  const isText = (field: unknown): field is string => typeof field === 'string' && field !== '';
  if (!isText(issuer) || audiences.length === 0 || !audiences.every(isText)) return undefined;
  if ((jwksUrl !== undefined && !isText(jwksUrl)) || Object.keys(others).length > 0) return undefined;
  return { issuer, audience: audiences, jwksUrl };
}

/** Keys fetched over plain http could be forged, except from this machine. */
function checkUrls(reader: EnvReader, issuer: JwtIssuer): JwtIssuer {
  for (const url of [issuer.issuer, issuer.jwksUrl]) {
    if (url === undefined) continue;
    const { protocol, hostname } = URL.canParse(url) ? new URL(url) : {};
    const local = hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
    if (protocol !== 'https:' && !(protocol === 'http:' && local)) {
      reader.problem(`the JWT issuer and its jwksUrl must be https URLs, not "${url}"`);
    }
  }
  return issuer;
}

function readGoogleOAuth(reader: EnvReader): GoogleOAuth {
  const audience = reader.list('GOOGLE_OAUTH_AUDIENCE');
  if (audience.length === 0) {
    reader.problem('GOOGLE_OAUTH_AUDIENCE is not set: tokens for other applications would be accepted');
  }
  const tokenInfoUrl = reader.url('GOOGLE_TOKENINFO_URL', 'https://oauth2.googleapis.com/tokeninfo');
  const { protocol, hostname } = URL.canParse(tokenInfoUrl) ? new URL(tokenInfoUrl) : {};
  if (protocol !== 'https:' && !loopback.has(hostname ?? '')) {
    reader.problem('GOOGLE_TOKENINFO_URL must be https: it gets the tokens of callers');
  }
  return { audience, tokenInfoUrl };
}

function readAudience(reader: EnvReader): string[] {
  const audience = reader.list('CLOUD_RUN_AUDIENCE');
  if (audience.length === 0) {
    reader.problem('CLOUD_RUN_AUDIENCE is not set: list the audiences of the tokens that callers send');
  }
  return audience;
}

/** A2A section 7.1: if callers authenticate, the card must not direct their credentials to plain http. */
export function checkHttps(reader: EnvReader, publicUrl: string, auth: AuthConfig): void {
  const plainHttp = URL.canParse(publicUrl) && new URL(publicUrl).protocol === 'http:';
  if (plainHttp && isAuthenticationOn(auth) && !loopback.has(new URL(publicUrl).hostname)) {
    reader.problem('PUBLIC_URL must be https if AUTH_MODES requires credentials');
  }
}

/** Only this machine reaches a server on a loopback address, and it is the only place where a caller needs no name. */
export function getLocalHosts(
  host: string,
  publicUrl: string,
  auth: AuthConfig,
): ReadonlySet<string> | undefined {
  const isLocal = /^(localhost|127(\.\d+){3}|::1)$/.test(host);
  if (!isLocal || isAuthenticationOn(auth)) return undefined;
  const own = [`http://${host === '::1' ? '[::1]' : host}`, publicUrl].filter((url) => URL.canParse(url));
  return new Set([...loopback, ...own.map((url) => new URL(url).hostname)]);
}
