/** The secret with which `longhaul webhooks listen` signs: made once, and kept in a file that only its owner can read. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { usageError } from '../failure.ts';
import { profilesPath } from './profiles.ts';

/** @throws {CliError} if the file has something else */
export function readListenSecret(env: Record<string, string | undefined>): string {
  const file = path.join(path.dirname(profilesPath(env)), 'listen-secret');
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  try {
    writeFileSync(file, `whsec_${randomBytes(32).toString('base64')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const secret = readFileSync(file, 'utf8').trim();
  if (!/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/.test(secret)) {
    throw usageError(`${file} has no secret: remove it, and a new one is made`);
  }
  return secret;
}
