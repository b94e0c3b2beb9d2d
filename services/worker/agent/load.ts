/** Which agent a worker runs: the module that `AGENT_MODULE` names, else Gemini. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Agent } from './agent.ts';
import type { FileFetcherOptions } from './files/fetch-file.ts';
import type { GeminiAgentOptions } from './gemini/agent.ts';
import { checkCredentials } from './gemini/model/credentials.ts';

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
  const { agentFile, agentModule } = options;
  if (agentModule === undefined) {
    checkCredentials(options.gemini);
    if (agentFile !== undefined) await checkTools(agentFile);
    return geminiAgent(options);
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

async function checkTools(agentFile: string): Promise<void> {
  const { loadAgentDefinition } = await import('#shared/agent/load-definition.ts');
  const { loadToolModules } = await import('./tools/modules.ts');
  await loadToolModules((await loadAgentDefinition(agentFile)).toolModules);
}

/** The SDK, MCP and all that fetches files are large: they are loaded when they are first needed. */
function geminiAgent(options: LoadAgentOptions): Agent {
  let opening: Promise<Agent> | undefined;
  const open = () => (opening ??= openGeminiAgent(options));
  return {
    open: () => void open(),
    run: async (turn) => (await open()).run(turn),
    close: async () => (await opening)?.close?.(),
  };
}

async function openGeminiAgent(options: LoadAgentOptions): Promise<Agent> {
  const { gemini, files, meter, secretOf, captureContent = false } = options;
  const [{ createGeminiAgent }, { createMcpTools }, { createFileFetcher }] = await Promise.all([
    import('./gemini/agent.ts'),
    import('./mcp/tools.ts'),
    import('./files/fetch-file.ts'),
  ]);
  return createGeminiAgent({
    client: gemini,
    mcp: createMcpTools(secretOf),
    files: createFileFetcher(files),
    meter,
    captureContent,
  });
}

function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && 'run' in value && typeof value.run === 'function';
}
