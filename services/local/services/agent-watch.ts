/**
 * Watches the files of the agent. A change restarts the workers. A change of the definition, in YAML or in code, also
 * restarts the api, which builds the agent card from it. Code or definitions with errors are reported, and change nothing.
 */
import path from 'node:path';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import type { Print } from '../processes/log-output.ts';
import { StartError } from '../processes/supervisor.ts';
import { getDefinitionFile, readAgentSources, resolveLinks, type AgentNames } from './agent-sources.ts';
import type { RunningServices } from './services.ts';

export interface AgentWatchOptions {
  readonly agent: AgentNames;
  readonly services: RunningServices;
  readonly print: Print;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** An editor that saves several files causes one restart. */
const settleMs = 50;

const sources = /\.(?:[cm]?[jt]s|json|ya?ml)$/;

/** Watches the directories of the agent, without `node_modules` and hidden files: a file may become part of the agent. */
export async function watchAgent({ agent, services, print, signal }: AgentWatchOptions): Promise<void> {
  const { watch } = await import('chokidar');
  const definitionFile = getDefinitionFile(agent);
  const names = [agent.agentFile, agent.agentModule].filter((file) => file !== undefined);
  const folders = ['.', ...names.map((file) => path.dirname(file))].map((folder) => path.resolve(folder));
  let { files, description } = await readAgentSources(agent);
  const changed = new Set<string>();
  let changedAt: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let restarting = false;

  const restart = async (): Promise<void> => {
    if (restarting || signal.aborted) return;
    restarting = true;
    while (changed.size > 0) {
      const names = [...changed].filter((file) => files.has(file));
      const startedAt = changedAt ?? performance.now();
      changed.clear();
      changedAt = undefined;
      if (names.length > 0) await restartFor(names, startedAt);
    }
    restarting = false;
  };
  const restartFor = async (names: readonly string[], startedAt: number): Promise<void> => {
    const definitionChanged = names.includes(definitionFile);
    try {
      if (definitionChanged) await loadAgentDefinition(definitionFile);
      await services.restartWorkers();
      const ms = Math.round(performance.now() - startedAt);
      const message = 'restarted with the changed agent';
      print('local', { severity: 'INFO', message, changed: toNames(names), ms });
      const next = await readAgentSources(agent);
      if (definitionChanged || next.description !== description) services.restartApi();
      description = next.description;
      follow(next.files);
    } catch (error) {
      if (signal.aborted) return;
      const output = error instanceof StartError ? ` ${error.lines.join('\n')}` : '';
      const message = `the changed agent does not start, the previous one keeps running: ${(error as Error).message}${output}`;
      print('local', { severity: 'ERROR', message, changed: toNames(names) });
      // The files of the agent that runs, and those of the changed one.
      follow(new Set([...files, ...(await readAgentSources(agent)).files]));
    }
  };

  const isOutside = (file: string): boolean => !folders.some((folder) => file.startsWith(folder + path.sep));
  const watcher = watch([...folders, ...[...files].filter(isOutside)], {
    ignoreInitial: true,
    ignored: (file, stats) => isIgnored(file, stats?.isFile() === true && !files.has(path.resolve(file))),
  });
  const follow = (next: ReadonlySet<string>): void => {
    if (signal.aborted) return;
    files = next;
    watcher.add([...files].filter(isOutside));
  };
  watcher.on('all', (_event, found) => {
    const file = resolveLinks(found);
    // A restart may find that the file belongs to the agent now.
    if (!files.has(file) && !restarting) return;
    changed.add(file);
    changedAt ??= performance.now();
    clearTimeout(timer);
    timer = setTimeout(() => void restart(), settleMs);
  });
  watcher.on('error', (error) =>
    print('local', { severity: 'WARNING', message: `cannot watch: ${String(error)}` }),
  );
  signal.addEventListener('abort', () => {
    clearTimeout(timer);
    void watcher.close();
  });
  await new Promise<void>((resolve) => watcher.once('ready', resolve));
}

/** @param isOther whether it is a file that the agent does not consist of: it may become part of it */
function isIgnored(file: string, isOther: boolean): boolean {
  const parts = path.relative(process.cwd(), file).split(path.sep);
  if (parts.some((part) => part === 'node_modules' || /^\.[^.]/.test(part))) return true;
  return isOther && !sources.test(file);
}

function toNames(files: readonly string[]): string {
  return files.map((file) => path.relative(process.cwd(), file)).join(', ');
}
