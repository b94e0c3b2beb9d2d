/**
 * Finds the files that an agent consists of: its definition, its modules with all that they import, and the scripts of its
 * MCP servers. Modules are loaded in a thread, because this process would keep the first code that it has loaded.
 */
import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import type { LocalOptions } from '../options.ts';

export type AgentNames = Pick<LocalOptions, 'agentFile' | 'agentModule'>;

export interface AgentSources {
  /** Absolute paths. They include files that are missing. */
  files: ReadonlySet<string>;
  /** Changes with the definition and the version of an agent in code; undefined if it has not been loaded. */
  description: string | undefined;
}

export function getDefinitionFile({ agentFile }: AgentNames): string {
  return resolveLinks(agentFile ?? 'agent.yaml');
}

/** Returns the absolute path of a file, by which modules are imported. */
export function resolveLinks(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return path.resolve(file);
  }
}

export async function readAgentSources(agent: AgentNames): Promise<AgentSources> {
  const definitionFile = getDefinitionFile(agent);
  const definition = await loadAgentDefinition(definitionFile).catch(() => undefined);
  const tools = (definition?.toolModules ?? []).map((tool) =>
    resolveLinks(path.resolve(path.dirname(definitionFile), tool)),
  );
  const { agentFile, agentModule } = agent;
  const modules = [...(agentModule === undefined ? [] : [resolveLinks(agentModule)]), ...tools];
  const loaded = await loadModules(modules).catch(() => ({ files: [], descriptions: [] }));
  return {
    files: new Set([definitionFile, ...modules, ...listScripts(definition), ...loaded.files]),
    // A definition in YAML describes the agent.
    description: agentFile === undefined && agentModule !== undefined ? loaded.descriptions[0] : undefined,
  };
}

function listScripts(definition: AgentDefinition | undefined): string[] {
  return Object.values(definition?.mcpServers ?? {}).flatMap(({ args = [], cwd = '.' }) =>
    args
      .map((arg) => resolveLinks(path.resolve(cwd, arg)))
      .filter((file) => path.extname(file) !== '' && existsSync(file)),
  );
}

const source = `
  const { registerHooks } = require('node:module');
  const { parentPort, workerData } = require('node:worker_threads');
  const files = new Set();
  registerHooks({
    resolve(specifier, context, next) {
      try {
        const found = next(specifier, context);
        files.add(found.url);
        return found;
      } catch (error) {
        if (/^\\.{1,2}\\//.test(specifier)) files.add(new URL(specifier, context.parentURL).href);
        throw error;
      }
    },
  });
  Promise.allSettled(workerData.map((url) => import(url))).then((modules) => {
    const descriptions = modules.map(({ value: { default: agent } = {} }) =>
      agent && JSON.stringify([agent.definition, agent.version]));
    parentPort.postMessage({ files: [...files], descriptions });
    process.exit();
  });`;

interface LoadedModules {
  files: string[];
  /** In the order of the modules; undefined for a module that does not load, or exports no agent. */
  descriptions: (string | undefined)[];
}

/** @throws {Error} if a module ends the thread */
async function loadModules(modules: readonly string[]): Promise<LoadedModules> {
  if (modules.length === 0) return { files: [], descriptions: [] };
  const worker = new Worker(source, {
    eval: true,
    workerData: modules.map((module) => pathToFileURL(module).href),
  });
  const { files, descriptions } = await new Promise<LoadedModules>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('A module has ended while it was loaded.')));
  });
  const own = files.filter((url) => url.startsWith('file:') && !url.includes('/node_modules/'));
  return { files: own.map((url) => fileURLToPath(url)), descriptions };
}
