/** Compares the results of the conformance suite of MCP with the failures that are expected. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

/** The part of a check that the suite writes to checks.json. */
interface Check {
  id: string;
  status: string;
  errorMessage?: string;
}

interface ExpectedFailures {
  reason: string;
  /** Names of scenarios, all of whose checks may fail, or `scenario:check`. */
  fails: string[];
}

export interface Comparison {
  report: string;
  /** Whether exactly the listed checks fail. */
  isExpected: boolean;
}

/** @throws {Error} if the folder has no results */
export function compareResults(folder: string, expectedFile: string): Comparison {
  const expected = parse(readFileSync(expectedFile, 'utf8')) as ExpectedFailures[];
  const scenarios = readScenarios(folder);
  const failures = scenarios.flatMap(({ name, checks }) =>
    checks.filter(isFailure).map((check) => ({ name, check, key: `${name}:${check.id}` })),
  );
  const listed = new Set(expected.flatMap(({ fails }) => fails));
  const others = failures.filter(({ name, key }) => !listed.has(name) && !listed.has(key));
  const failing = new Set(failures.flatMap(({ name, key }) => [name, key]));
  const stale = [...listed].filter((entry) => !failing.has(entry));
  const passing = scenarios.filter(({ name }) => !failing.has(name)).map(({ name }) => name);
  const sections = [
    `${passing.length} of ${scenarios.length} scenarios pass: ${passing.join(', ')}`,
    ...expected.map(({ reason, fails }) => `${reason}\n${list(fails)}`),
    ...(others.length > 0 ? [`FAILING, BUT NOT LISTED\n${list(others.map(describe))}`] : []),
    ...(stale.length > 0 ? [`LISTED, BUT NOT FAILING\n${list(stale)}`] : []),
  ];
  return { report: sections.join('\n\n'), isExpected: others.length === 0 && stale.length === 0 };
}

/** A folder for each scenario: server-<scenario>-<time>. */
function readScenarios(folder: string): { name: string; checks: Check[] }[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  if (names.length === 0) throw new Error(`the suite has written no results to ${folder}`);
  return names.toSorted().map((name) => ({
    name: name.replace(/^server-/, '').replace(/-\d{4}-\d{2}-\d{2}T.*$/, ''),
    checks: JSON.parse(readFileSync(path.join(folder, name, 'checks.json'), 'utf8')) as Check[],
  }));
}

/** A warning is a SHOULD that is not met. */
function isFailure({ status }: Check): boolean {
  return status === 'FAILURE' || status === 'WARNING';
}

function describe({ key, check }: { key: string; check: Check }): string {
  return check.errorMessage === undefined ? key : `${key}: ${check.errorMessage}`;
}

function list(lines: readonly string[]): string {
  return lines.map((line) => `  - ${line}`).join('\n');
}
