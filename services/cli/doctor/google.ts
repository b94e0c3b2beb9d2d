/** Checks the settings of Google Cloud, as far as that is possible without calling it. */
// cspell:ignore CLOUDSDK
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { failed, ok, skipped, type Finding } from './check.ts';

const part = 'Google';

export function checkGoogle(env: Environment, home: string = homedir()): Finding[] {
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
  return [
    findCredentials(env, home),
    skipped(
      'roles',
      `they can only be checked in the project ${project}: docs/deploy.md#access-rights lists them`,
    ),
  ];
}

/** Application Default Credentials, in the order in which Google's libraries look for them. */
function findCredentials(env: Environment, home: string): Finding {
  const named = env['GOOGLE_APPLICATION_CREDENTIALS'];
  const config = env['CLOUDSDK_CONFIG'] ?? path.join(home, '.config', 'gcloud');
  const file = named ?? path.join(config, 'application_default_credentials.json');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return failed(
      'credentials',
      `${file} cannot be read (${code})`,
      named === undefined
        ? 'gcloud auth application-default login. On Google Cloud, the service account of the instance is used'
        : 'correct GOOGLE_APPLICATION_CREDENTIALS, or unset it',
    );
  }
  const type = readType(text);
  if (type !== undefined) return ok('credentials', `${file} (${type})`);
  return failed('credentials', `${file} has no credentials`, 'gcloud auth application-default login');
}

function readType(text: string): string | undefined {
  try {
    const { type } = JSON.parse(text) as { type?: unknown };
    return typeof type === 'string' ? type : undefined;
  } catch {
    return undefined;
  }
}
