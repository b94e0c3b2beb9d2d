/** Loads the agent that the worker runs: the module that `AGENT_MODULE` names, otherwise the Gemini agent. */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import {
  findDefinitionFile,
  getAgentDirectory,
  loadAgentDefinition,
  readCodeDefinition,
} from '#shared/agent/load-definition.ts';
import { readGateway } from '#shared/agent/gateway.ts';
import { getPowers, type Powers } from '#shared/agent/powers.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { ConfigError } from '#shared/runtime/config/env-reader.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import type { Agent } from './agent.ts';
import type { DownloadLimits } from './files/downloads.ts';
import type { FileFetcherOptions } from './files/fetch-file.ts';
import { gatewayAgent } from './gateway/agent.ts';
import type { GeminiAgentOptions } from './gemini/agent.ts';
import { checkCredentials } from './gemini/model/credentials.ts';
import type { McpConnections } from './mcp/connections.ts';
import type { RemoteAgents } from './remote/agent.ts';
import { createRemoteAgents } from './remote/agents.ts';
import { getVersions } from './version.ts';

export type CallStores = Pick<GeminiAgentOptions, 'abandoned' | 'stored' | 'polls' | 'batches'>;

export interface LoadAgentOptions {
  /**
   * The definition of new tasks. Its tool modules are loaded at startup, and its secrets looked up, to report
   * problems early. Relative paths of tool modules start at its directory.
   */
  agentFile?: string | undefined;
  /** The powers that stored definitions may use. Default: those of `agentFile` alone. */
  powers?: Powers;
  /** A path, absolute or relative to the working directory. */
  agentModule?: string | undefined;
  gemini: GeminiAgentOptions['client'];
  meter?: GeminiAgentOptions['meter'];
  files?: FileFetcherOptions & DownloadLimits & { buckets: readonly string[] };
  /** The other agents that a definition names. Default: they are called by the addresses of the definition. */
  remote?: RemoteAgents;
  /** Default: connections of its own. */
  mcpConnections?: McpConnections;
  /** Reads a variable that a definition names as `${env:NAME}`. */
  getSecret: (name: string) => string | undefined;
  captureContent?: boolean;
  wakeTurns?: GeminiAgentOptions['wakeTurns'];
  /** The calls at Google of all tasks. */
  calls?: CallStores;
  log?: Logger;
}

/**
 * Reads the powers of the definitions that a worker is configured with.
 *
 * @param earlierFiles definitions of tasks that started earlier, whose modules, commands and secrets stay allowed
 * @throws {DefinitionError} if a file is not valid
 */
export async function loadPowers(
  agentFile: string | undefined,
  earlierFiles: readonly string[],
): Promise<Powers> {
  const file = findDefinitionFile(agentFile);
  const files = [...(file === undefined ? [] : [file]), ...earlierFiles];
  return getPowers(await Promise.all(files.map(loadAgentDefinition)));
}

/** @throws {ConfigError | DefinitionError} with the defect of a module or of the definition, or missing credentials */
export async function loadAgent(options: LoadAgentOptions): Promise<Agent> {
  const { agentFile, agentModule } = options;
  if (agentModule === undefined) {
    const file = findDefinitionFile(agentFile);
    const definition = file === undefined ? undefined : await loadAgentDefinition(file);
    if (definition?.a2a === undefined) checkCredentials(options.gemini);
    if (definition !== undefined && agentFile !== undefined)
      await checkDefinition(definition, agentFile, options.getSecret);
    return createAgentByDefinition(options);
  }
  const path = resolve(agentModule);
  let exported: { default?: unknown };
  try {
    exported = (await import(pathToFileURL(path).href)) as { default?: unknown };
  } catch (error) {
    throw new ConfigError([`AGENT_MODULE ${path} cannot be loaded: ${errorMessage(error)}`]);
  }
  if (!isAgent(exported.default)) {
    throw new ConfigError([
      `AGENT_MODULE ${path} is not an agent: its default export must be an object with a method run(turn).`,
    ]);
  }
  try {
    getVersions(exported.default);
  } catch (error) {
    throw new ConfigError([`AGENT_MODULE ${path} is not valid: ${errorMessage(error)}.`]);
  }
  if (readCodeDefinition(exported.default, path) !== undefined && agentFile !== undefined) {
    throw new ConfigError([
      `AGENT_MODULE ${path} has a definition, and so does AGENT_FILE ${agentFile}: expected one of them.`,
    ]);
  }
  if (agentFile !== undefined && (await loadAgentDefinition(agentFile)).a2a !== undefined) {
    throw new ConfigError([
      `AGENT_MODULE ${path} has no effect: the whole behavior of AGENT_FILE ${agentFile} is its a2a. Expected one of them.`,
    ]);
  }
  return exported.default;
}

/** Runs each turn as its definition says, which may be an earlier one than that of this worker. */
function createAgentByDefinition(options: LoadAgentOptions): Agent {
  const gemini = createLazyGeminiAgent(options);
  return {
    ...gemini,
    run: async (turn) =>
      readGateway(turn.definition) === undefined ? gemini.run(turn) : gatewayAgent.run(turn),
  };
}

/** @throws {ConfigError} if a secret is not set or a tool module is not valid */
async function checkDefinition(
  { mcpServers, agents, a2a, toolModules }: AgentDefinition,
  agentFile: string,
  getSecret: LoadAgentOptions['getSecret'],
): Promise<void> {
  const { findMissingSecrets } = await import('#shared/agent/mcp-servers.ts');
  const { findMissingAgentSecrets } = await import('#shared/agent/remote-agents.ts');
  const { loadToolModules } = await import('./tools/modules.ts');
  const problems = [
    ...findMissingSecrets(mcpServers, getSecret).map((name) => ({ name, field: 'mcpServers' })),
    ...findMissingAgentSecrets(agents, getSecret).map((name) => ({ name, field: 'agents' })),
    ...findMissingAgentSecrets(a2a === undefined ? {} : { a2a }, getSecret).map((name) => ({
      name,
      field: 'a2a',
    })),
  ].map(({ name, field }) => `${name} is not set, but the ${field} of AGENT_FILE ${agentFile} refer to it`);
  await loadToolModules(toolModules, getAgentDirectory(agentFile)).catch((error: unknown) => {
    if (!(error instanceof FatalError)) throw error;
    problems.push(error.message);
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

/** Loads the SDK, MCP and the file fetcher on first use: they are large. */
function createLazyGeminiAgent(options: LoadAgentOptions): Agent {
  let opening: Promise<Agent> | undefined;
  const open = () => (opening ??= openGeminiAgent(options));
  return {
    open: () => void open(),
    run: async (turn) => (await open()).run(turn),
    close: async () => (await opening)?.close?.(),
  };
}

async function openGeminiAgent(options: LoadAgentOptions): Promise<Agent> {
  const { agentFile, gemini, files, meter, getSecret, captureContent = false, log } = options;
  const [{ createGeminiAgent }, { createMcpTools }, { createFileFetcher }] = await Promise.all([
    import('./gemini/agent.ts'),
    import('./mcp/tools.ts'),
    import('./files/fetch-file.ts'),
  ]);
  const powers = options.powers ?? (await loadPowers(agentFile, []));
  return createGeminiAgent({
    client: gemini,
    toolDirectory: getAgentDirectory(agentFile),
    mcp: createMcpTools(getSecret, log, options.mcpConnections),
    remote: options.remote ?? createRemoteAgents(getSecret, powers),
    powers,
    files: createFileFetcher(files),
    ...(files && { downloads: files, buckets: files.buckets }),
    meter,
    captureContent,
    ...options.calls,
    wakeTurns: options.wakeTurns,
    log,
  });
}

function isAgent(value: unknown): value is Agent {
  return typeof value === 'object' && value !== null && 'run' in value && typeof value.run === 'function';
}
