/** The versions that an agent declares (docs/develop/versions.md). */
import type { Agent } from './agent.ts';

const maxChars = 100;

export interface AgentVersions {
  /** The version under which the steps of its turns are recorded; undefined: it declares none. */
  readonly own: string | undefined;
  /** The versions whose turns it continues, with its own. Turns without a version are continued by every agent. */
  readonly runs: readonly string[];
}

/** @throws {Error} that says what is wrong with them */
export function getVersions({ version, compatibleWith = [] }: Agent): AgentVersions {
  if (version === undefined && compatibleWith.length === 0) return { own: undefined, runs: [] };
  if (version === undefined) throw new Error('compatibleWith needs a version, such as "2"');
  if (!isVersion(version)) throw new Error(`version must be a text of 1 to ${maxChars} characters`);
  if (!Array.isArray(compatibleWith) || !compatibleWith.every(isVersion)) {
    throw new Error('compatibleWith must be a list of versions, such as ["1"]');
  }
  return { own: version, runs: [...new Set([version, ...compatibleWith])] };
}

function isVersion(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= maxChars && value.trim() === value;
}
