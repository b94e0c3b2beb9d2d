/** Finds the agent of a folder, so that authors need no settings: `agent.yaml`, `agent.ts` or `agent.js`, or both. */
import { existsSync } from 'node:fs';
import path from 'node:path';

const definitions = ['agent.yaml', 'agent.yml'];
const modules = ['agent.ts', 'agent.mts', 'agent.js', 'agent.mjs'];

export interface AgentFiles {
  AGENT_FILE?: string;
  AGENT_MODULE?: string;
}

/**
 * Returns the variables that name the agent of a folder, as far as they are not set.
 *
 * @throws {Error} if the folder has neither
 */
export function findAgent(folder: string, environment: NodeJS.ProcessEnv): AgentFiles {
  if (environment['AGENT_FILE'] || environment['AGENT_MODULE']) return {};
  const find = (names: readonly string[]) =>
    names.map((name) => path.join(folder, name)).find((file) => existsSync(file));
  const [file, module] = [find(definitions), find(modules)];
  if (file === undefined && module === undefined) {
    throw new Error(
      `${folder} has no agent: expected agent.yaml, agent.ts or agent.js, or paths in AGENT_FILE and AGENT_MODULE. ` +
        'longhaul init creates an agent',
    );
  }
  return {
    ...(file !== undefined && { AGENT_FILE: file }),
    ...(module !== undefined && { AGENT_MODULE: module }),
  };
}
