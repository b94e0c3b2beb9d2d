/** Reads the definition that a service is configured with: `AGENT_FILE`, or the `agent.yaml` of this project. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseAgentDefinition, type AgentDefinition } from './definition.ts';

const ownFile = fileURLToPath(new URL('../../agent.yaml', import.meta.url));

/** @throws {DefinitionError} with every problem of the file, by line and column */
export async function loadAgentDefinition(agentFile: string | undefined): Promise<AgentDefinition> {
  const file = agentFile ?? ownFile;
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new Error(`AGENT_FILE ${file} cannot be read`, { cause: error });
  });
  return parseAgentDefinition(text, file);
}
