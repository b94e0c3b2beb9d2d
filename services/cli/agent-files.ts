/** Finds the agent of a folder, so that authors need no settings: `agent.yaml`, and `agent.ts` or `agent.js` for code. */
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
 * @throws {Error} if the folder has no definition, which code needs too: the agent card is made from it
 */
export function findAgent(folder: string, environment: NodeJS.ProcessEnv): AgentFiles {
  if (environment['AGENT_FILE'] || environment['AGENT_MODULE']) return {};
  const find = (names: readonly string[]) =>
    names.map((name) => path.join(folder, name)).find((file) => existsSync(file));
  const [file, module] = [find(definitions), find(modules)];
  if (file === undefined) {
    throw new Error(
      `${folder} has no agent.yaml: expected one that describes the agent, next to agent.ts or agent.js if it is ` +
        'code, or paths in AGENT_FILE and AGENT_MODULE. longhaul init creates an agent',
    );
  }
  return { AGENT_FILE: file, ...(module !== undefined && { AGENT_MODULE: module }) };
}
