/**
 * Watches the files of the agent. A change restarts the workers. A change of the definition, in YAML or in code, also
 * restarts the api, which builds the agent card from it. Code or definitions with errors are reported, and change nothing.
 */
import path from 'node:path';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import type { LocalOptions } from '../options.ts';
import type { Print } from '../processes/log-output.ts';
import { StartError } from '../processes/supervisor.ts';
import { readDescription } from './description.ts';
import type { RunningServices } from './services.ts';

export interface AgentWatchOptions {
  readonly agent: Pick<LocalOptions, 'agentFile' | 'agentModule'>;
  readonly services: RunningServices;
  readonly print: Print;
  /** Ends the watch. */
  readonly signal: AbortSignal;
}

/** An editor that saves several files causes one restart. */
const settleMs = 50;

const sources = /\.(?:[cm]?[jt]s|json|ya?ml)$/;

/** Watches the working directory and the directories of the agent, without `node_modules` and hidden files. */
export async function watchAgent({ agent, services, print, signal }: AgentWatchOptions): Promise<void> {
  const { watch } = await import('chokidar');
  const definitionFile = path.resolve(agent.agentFile ?? 'agent.yaml');
  const files = [agent.agentFile, agent.agentModule].filter((file) => file !== undefined);
  const folders = ['.', ...files.map((file) => path.dirname(file))].map((folder) => path.resolve(folder));
  /** The module that may describe the agent. */
  const describing = agent.agentFile === undefined ? agent.agentModule : undefined;
  const describe = async () => describing && readDescription(describing).catch(() => undefined);
  let description = await describe();
  const changed = new Set<string>();
  let changedAt: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  let restarting = false;

  const restart = async (): Promise<void> => {
    if (restarting || signal.aborted) return;
    restarting = true;
    while (changed.size > 0) {
      const names = [...changed];
      const startedAt = changedAt ?? performance.now();
      changed.clear();
      changedAt = undefined;
      await restartFor(names, startedAt);
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
      const described = await describe();
      if (definitionChanged || described !== description) services.restartApi();
      description = described;
    } catch (error) {
      if (signal.aborted) return;
      const output = error instanceof StartError ? ` ${error.lines.join('\n')}` : '';
      const message = `the changed agent does not start, the previous one keeps running: ${(error as Error).message}${output}`;
      print('local', { severity: 'ERROR', message, changed: toNames(names) });
    }
  };

  const watcher = watch(folders, {
    ignoreInitial: true,
    ignored: (file, stats) => isIgnored(file, stats?.isFile()),
  });
  watcher.on('all', (_event, file) => {
    if (!sources.test(file)) return;
    changed.add(path.resolve(file));
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

function isIgnored(file: string, isFile = false): boolean {
  const parts = path.relative(process.cwd(), file).split(path.sep);
  if (parts.some((part) => part === 'node_modules' || /^\.[^.]/.test(part))) return true;
  return isFile && !sources.test(file);
}

function toNames(files: readonly string[]): string {
  return files.map((file) => path.relative(process.cwd(), file)).join(', ');
}
