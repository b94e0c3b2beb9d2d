/**
 * Loads the definition that a service is configured with: `AGENT_FILE`, or the `agent.yaml` of the working directory.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { checkDefinition, DefinitionError, type AgentDefinition } from './definition.ts';
import { parseYaml } from './yaml.ts';

const defaultFile = 'agent.yaml';

/** @throws {DefinitionError} with all problems of the file, by line and column, or if it cannot be read */
export async function loadAgentDefinition(agentFile: string | undefined): Promise<AgentDefinition> {
  const file = agentFile ?? defaultFile;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new DefinitionError([`AGENT_FILE ${file} cannot be read: ${(error as Error).message}`]);
  });
  return parseAgentDefinition(text, file);
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
