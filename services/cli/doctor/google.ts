/** Checks the credentials for Google Cloud, and then the roles that they have. */
// cspell:ignore CLOUDSDK
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { failed, ok, skipped, type Finding } from './check.ts';
import { checkRoles } from './roles.ts';

const part = 'Google';
const signIn = 'gcloud auth application-default login';

export interface GoogleOptions {
  home?: string;
  /** Returns an access token. */
  getToken?: () => Promise<string>;
  /** Returns the address of an API of Google. */
  getOrigin?: (service: string) => string;
}

export async function checkGoogle(env: Environment, options: GoogleOptions = {}): Promise<Finding[]> {
  const {
    home = homedir(),
    getToken = requestToken,
    getOrigin = (service) => `https://${service}.googleapis.com`,
  } = options;
  const project = env['GOOGLE_CLOUD_PROJECT'];
  if (env['GEMINI_API_KEY'] && !project) {
    return [ok(part, 'GEMINI_API_KEY is set: models are called with it')];
  }
  if (!project) {
    return [
      skipped(
        part,
        'neither GOOGLE_CLOUD_PROJECT nor GEMINI_API_KEY is set: longhaul dev uses the offline model',
      ),
    ];
  }
  const { member, ...found } = findCredentials(env, home);
  if (found.state !== 'ok') return [found, skipped('roles', 'without credentials they cannot be checked')];
  let token: string;
  try {
    token = await getToken();
  } catch (error) {
    const refused = failed('credentials', `no token for ${found.found}: ${(error as Error).message}`, signIn);
    return [refused, skipped('roles', 'without a token they cannot be checked')];
  }
  return [found, ...(await checkRoles(env, { project, member, token, getOrigin }))];
}

async function requestToken(): Promise<string> {
  const { GoogleAuth } = await import('google-auth-library');
  const token = await new GoogleAuth({
    scopes: 'https://www.googleapis.com/auth/cloud-platform',
  }).getAccessToken();
  if (!token) throw new Error('the answer has none');
  return token;
}

type Credentials = Finding & {
  /** The account as a policy names it, as far as the credentials say. */
  member: string;
};

/** Application Default Credentials, in the order in which Google's libraries look for them. */
function findCredentials(env: Environment, home: string): Credentials {
  const member = 'MEMBER';
  const named = env['GOOGLE_APPLICATION_CREDENTIALS'];
  const config = env['CLOUDSDK_CONFIG'] ?? path.join(home, '.config', 'gcloud');
  const file = named ?? path.join(config, 'application_default_credentials.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (named !== undefined) {
      const fix = 'correct GOOGLE_APPLICATION_CREDENTIALS, or unset it';
      return { ...failed('credentials', `${file} cannot be read (${code})`, fix), member };
    }
    // Services and jobs of Cloud Run.
    if (env['K_SERVICE'] || env['CLOUD_RUN_JOB']) {
      return { ...ok('credentials', 'the service account of this instance'), member };
    }
    return { ...failed('credentials', `${file} cannot be read (${code})`, signIn), member };
  }
  const { type, client_email: email } = readFields(text);
  if (type === undefined) return { ...failed('credentials', `${file} has no credentials`, signIn), member };
  return {
    ...ok('credentials', `${file} (${type})`),
    member: email === undefined ? member : `serviceAccount:${email}`,
  };
}

function readFields(text: string): { type?: string; client_email?: string } {
  try {
    const { type, client_email: email } = JSON.parse(text) as Record<string, unknown>;
    return {
      ...(typeof type === 'string' && { type }),
      ...(typeof email === 'string' && { client_email: email }),
    };
  } catch {
    return {};
  }
}
