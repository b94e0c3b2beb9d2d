/**
 * Loads the definition that a service is configured with: `AGENT_FILE`, the definition of `AGENT_MODULE` if its agent
 * has one, or the `agent.yaml` of the working directory.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkCodeDefinition } from './code-definition.ts';
import { checkDefinition, DefinitionError, type AgentDefinition } from './definition.ts';
import { parseYaml } from './yaml.ts';

const defaultFile = 'agent.yaml';

export interface AgentSource {
  agentFile: string | undefined;
  agentModule: string | undefined;
}

/** @throws {DefinitionError} with all problems of the definition, or if it cannot be loaded */
export async function loadDefinition(source: AgentSource): Promise<AgentDefinition> {
  return (await findDefinition(source)) ?? loadAgentDefinition(undefined);
}

/**
 * Returns undefined if nothing is configured and the working directory has no definition.
 *
 * @throws {DefinitionError} as `loadDefinition`
 */
export async function findDefinition({
  agentFile,
  agentModule,
}: AgentSource): Promise<AgentDefinition | undefined> {
  const ofModule =
    agentFile === undefined && agentModule !== undefined ? await loadCodeDefinition(agentModule) : undefined;
  if (ofModule !== undefined) return ofModule;
  const file = findDefinitionFile(agentFile);
  return file === undefined ? undefined : loadAgentDefinition(file);
}

async function loadCodeDefinition(agentModule: string): Promise<AgentDefinition | undefined> {
  const path = resolve(agentModule);
  let agent: unknown;
  try {
    ({ default: agent } = (await import(pathToFileURL(path).href)) as { default?: unknown });
  } catch (error) {
    throw new DefinitionError([`AGENT_MODULE ${path} cannot be loaded: ${(error as Error).message}`]);
  }
  return readCodeDefinition(agent, path);
}

/**
 * @param path names the module in errors
 * @returns undefined if the agent has no definition
 * @throws {DefinitionError} with all problems at once
 */
export function readCodeDefinition(agent: unknown, path: string): AgentDefinition | undefined {
  const { definition: value, version } = (agent ?? {}) as { definition?: unknown; version?: string };
  if (value === undefined) return undefined;
  const { definition, problems } = checkCodeDefinition(value, version);
  if (definition !== undefined) return definition;
  throw new DefinitionError(
    problems.map(({ message }) => `the definition of AGENT_MODULE ${path}: ${message}`),
  );
}

/** @throws {DefinitionError} with all problems of the file, by line and column, or if it cannot be read */
export async function loadAgentDefinition(agentFile: string | undefined): Promise<AgentDefinition> {
  const file = agentFile ?? defaultFile;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new DefinitionError([`AGENT_FILE ${file} cannot be read: ${(error as Error).message}`]);
  });
  return parseAgentDefinition(text, file);
}

/** Returns the file of the definition; undefined if none is named and the working directory has none. */
export function findDefinitionFile(agentFile: string | undefined): string | undefined {
  return agentFile ?? (existsSync(defaultFile) ? defaultFile : undefined);
}

/** Returns the directory of the definition's file: relative paths in the definition start there. */
export function getAgentDirectory(agentFile: string | undefined): string {
  return dirname(resolve(agentFile ?? defaultFile));
}

/** @throws {DefinitionError} with all problems at once */
export function parseAgentDefinition(text: string, fileName: string): AgentDefinition {
  const yaml = parseYaml(text);
  const problems = [...yaml.problems];
  if (problems.length === 0) {
    const { definition, problems: found } = checkDefinition(yaml.value);
    if (definition !== undefined) return definition;
    for (const { path, key, message } of found) problems.push({ ...yaml.getPosition(path, key), message });
  }
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  throw new DefinitionError(
    problems.map(({ line, column, message }) => `${fileName}:${line}:${column}: ${message}`),
  );
}
