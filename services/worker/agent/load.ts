/** Which agent a worker runs: the module that `AGENT_MODULE` names, else Gemini. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import type { Agent } from './agent.ts';
import { createFileFetcher, type FileFetcherOptions } from './files/fetch-file.ts';
import type { GeminiAgentOptions } from './gemini/agent.ts';
import { createMcpTools } from './mcp/tools.ts';
import { loadToolModules } from './tools/modules.ts';

export interface LoadAgentOptions {
  /** The definition of new tasks: its tools are loaded at once, so that mistakes in them are told at the start. */
  agentFile?: string | undefined;
  /** A path, absolute or from the working directory. */
  agentModule?: string | undefined;
  gemini: GeminiAgentOptions['client'];
  meter?: GeminiAgentOptions['meter'];
  files?: FileFetcherOptions;
  /** The variables that a definition names as `${env:NAME}`. */
  secretOf: (name: string) => string | undefined;
  captureContent?: boolean;
}

/** @throws {Error} that says what is wrong with the module, or which credentials are missing */
export async function loadAgent(options: LoadAgentOptions): Promise<Agent> {
  const { agentFile, agentModule, gemini, files, meter, secretOf, captureContent = false } = options;
  if (agentModule === undefined) {
    if (agentFile !== undefined) await loadToolModules((await loadAgentDefinition(agentFile)).toolModules);
    const { createGeminiAgent } = await import('./gemini/agent.ts');
    return createGeminiAgent({
      client: gemini,
      mcp: createMcpTools(secretOf),
      files: createFileFetcher(files),
      meter,
      captureContent,
    });
  }
  const path = resolve(agentModule);
  let exported: { default?: unknown };
  try {
    exported = (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    throw new Error(
      `AGENT_MODULE ${path} cannot be loaded: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  if (!isAgent(exported.default)) {
    throw new Error(
      `AGENT_MODULE ${path} is not an agent: its default export must be an object with a method run(turn).`,
    );
  }
  return exported.default;
}

function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && 'run' in value && typeof value.run === 'function';
}
