/** A model that replies by a script, and YAML agents that call it: no network, no key. */
import type { Agent } from '#services/worker/agent/agent.ts';
import { loadAgent } from '#services/worker/agent/load.ts';
import type { LoggedRequest } from '#services/local/offline-model/request-log.ts';
import type { ScriptRule } from '#services/local/offline-model/script.ts';
import { startOfflineModel } from '#services/local/offline-model/server.ts';
import { loadAgentDefinition } from '#shared/agent/load-definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { silentAgents } from './agents.ts';

export interface ScriptedModel {
  /** Base URL of the Gemini API that the model serves. */
  readonly url: string;
  /** The requests so far, in order. */
  requests(): readonly LoggedRequest[];
  /** Adds rules: the first one that matches the last text of the user replies. */
  script(rules: readonly ScriptRule[]): void;
  /**
   * Loads a YAML agent that calls this model. Pass its `definition` to the task.
   *
   * @param secrets values of the `${env:NAME}` of MCP servers
   * @throws {DefinitionError | ConfigError} if the file or a tool module is not valid
   */
  loadAgent(
    file: string,
    secrets?: Readonly<Record<string, string>>,
  ): Promise<{ agent: Agent; definition: JsonObject }>;
  close(): Promise<void>;
}

/**
 * Starts a model on a free port. Without a rule that matches, it replies as the offline model of `longhaul dev`: it
 * calculates, summarises, and calls a tool when it is asked to (`Use the tool NAME with {…}`).
 */
export async function startScriptedModel(rules: readonly ScriptRule[] = []): Promise<ScriptedModel> {
  const model = await startOfflineModel({ port: 0 });
  model.script(rules);
  return {
    url: model.url,
    requests: () => model.log(),
    script: (more) => model.script(more),
    loadAgent: async (file, secrets = {}) => {
      const agent = await loadAgent({
        agentFile: file,
        gemini: { apiKey: 'none', baseUrl: model.url },
        remote: silentAgents,
        getSecret: (name) => secrets[name],
      });
      return { agent, definition: (await loadAgentDefinition(file)) as unknown as JsonObject };
    },
    close: () => model.close(),
  };
}
