/**
 * Which agent a command calls, and how it prints. Options come first, then the profile that is named, then the
 * variables LONGHAUL_URL and LONGHAUL_API_KEY, then the address of `longhaul dev`.
 */
import { Option, type Command } from 'commander';
import { environment } from '#shared/runtime/config/environment.ts';
import { usageError } from '../failure.ts';
import { profilesPath, readProfiles } from './profiles.ts';

export interface TargetOptions {
  url?: string;
  profile?: string;
}

export interface AgentOptions extends TargetOptions {
  json?: boolean;
  /** The owner for whom an operator acts. */
  owner?: string;
}

export interface Target {
  /** Without a slash at its end. */
  url: string;
  apiKey: string | undefined;
}

const defaultUrl = 'http://localhost:8080';

/** Adds the options that all commands share which call an agent. */
export function addAgentOptions(command: Command): Command {
  return addTargetOptions(command).addOption(jsonOption());
}

/** Adds the options that name the agent. */
export function addTargetOptions(command: Command): Command {
  return command
    .option('--url <url>', `address of the agent (default: LONGHAUL_URL, or ${defaultUrl})`)
    .option('--profile <name>', 'agent and key of a profile (default: LONGHAUL_PROFILE)');
}

/** For commands on routes of extensions, which operators may call for another owner (docs/extensions/operator.md). */
export function addOwnerOption(command: Command): Command {
  return command.option('--owner <owner>', 'for operators: act for this owner, such as key:alice');
}

export function jsonOption(): Option {
  return new Option('--json', 'print JSON, one value per line');
}

/**
 * Returns the agent to call. A key of the environment belongs to the URL of the environment or of the option; a
 * profile brings its own.
 *
 * @throws {CliError} if the profile does not exist, or the URL is not one
 */
export function getTarget({ url, profile }: TargetOptions): Target {
  const name = profile ?? (url === undefined ? environment['LONGHAUL_PROFILE'] : undefined);
  if (name) {
    if (url !== undefined) throw usageError('--url and --profile exclude each other');
    const file = profilesPath(environment);
    const profiles = readProfiles(file);
    const found = Object.hasOwn(profiles, name) ? profiles[name] : undefined;
    if (found === undefined) {
      const known = Object.keys(profiles).join(', ') || 'none';
      throw usageError(
        `the profile ${name} is not in ${file} (it has: ${known}): add it with longhaul profile set`,
      );
    }
    return { url: checkUrl(found.url), apiKey: found.apiKey };
  }
  return {
    url: checkUrl(url ?? (environment['LONGHAUL_URL'] || defaultUrl)),
    apiKey: environment['LONGHAUL_API_KEY'] || undefined,
  };
}

/** @throws {CliError} if the value is not an address of HTTP */
export function checkUrl(value: string): string {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw usageError(
      `${value} is not an address: expected http://HOST or https://HOST, without user name and password`,
    );
  }
  return value.replace(/\/+$/, '');
}
