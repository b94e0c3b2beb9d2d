/**
 * The file of profiles: named agents with their URL and key. It has keys in clear text, so only its owner may read it
 * (mode 0600), as `ssh` requires of private keys.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { usageError } from '../failure.ts';

const Profile = v.strictObject({ url: v.pipe(v.string(), v.url()), apiKey: v.optional(v.string()) });
export type Profile = v.InferOutput<typeof Profile>;
const Profiles = v.record(v.pipe(v.string(), v.regex(/^[\w.-]{1,64}$/)), Profile);

/** Returns the path of the file, by the XDG base directory specification. */
export function profilesPath(env: Record<string, string | undefined>): string {
  const base = env['XDG_CONFIG_HOME'] || path.join(homedir(), '.config');
  return path.join(base, 'longhaul', 'profiles.json');
}

/**
 * Returns the profiles by name; none if the file does not exist.
 *
 * @throws {CliError} if others may read the file, or its content is not valid
 */
export function readProfiles(file: string): Record<string, Profile> {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) return {};
  if ((stat.mode & 0o077) !== 0) {
    throw usageError(`${file} has keys, and other users may read it: run chmod 600 ${file}`);
  }
  const expected = 'expected {"NAME": {"url": "https://…", "apiKey": "…"}}';
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    throw usageError(`${file} is not JSON: ${expected}`);
  }
  const parsed = v.safeParse(Profiles, content);
  if (parsed.success) return parsed.output;
  const place = v.getDotPath(parsed.issues[0]) ?? 'its content';
  throw usageError(`${file}: ${place} is not valid: ${expected}`);
}

/** Replaces the file in one step, readable by its owner only. */
export function writeProfiles(file: string, profiles: Record<string, Profile>): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const next = `${file}.${process.pid}`;
  writeFileSync(next, `${JSON.stringify(profiles, undefined, 2)}\n`, { mode: 0o600 });
  chmodSync(next, 0o600);
  renameSync(next, file);
}

/** @throws {CliError} if the name has other characters than file names commonly have */
export function checkProfileName(name: string): void {
  if (!/^[\w.-]{1,64}$/.test(name)) {
    throw usageError(
      `${name} is not a name of a profile: expected at most 64 letters, digits, dots, dashes and underscores`,
    );
  }
}
