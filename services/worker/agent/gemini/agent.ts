/** The agent that runs Gemini: the model and the tools that a task's definition names, in the loop of loop.ts. */
import { DefinitionError, readAgentDefinition } from '#shared/agent/definition.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Agent, Turn } from '../agent.ts';
import { CredentialsError } from '../credentials-error.ts';
import type { McpTools } from '../mcp/tools.ts';
import { askUser } from './ask-user.ts';
import { defaultBackoff } from './backoff.ts';
import type { Backoff } from './backoff.ts';
import { LimitError } from './budget.ts';
import { createFetch, createGeminiClient } from './client.ts';
import type { GeminiClientOptions } from './client.ts';
import { Loop } from './loop.ts';
import type { Model } from './model-call.ts';
import type { Tool } from './tool.ts';

export interface GeminiAgentOptions {
  client: GeminiClientOptions;
  /** Tools in code. */
  tools?: readonly Tool[];
  /** Left out: MCP servers of a definition are refused. */
  mcp?: McpTools;
  backoff?: Backoff;
}

/** @throws {Error} when no credentials are configured */
export function createGeminiAgent({
  client,
  tools = [],
  mcp,
  backoff = defaultBackoff,
}: GeminiAgentOptions): Agent {
  const model: Model = { client: createGeminiClient(client), fetch: createFetch(), backoff };
  const taken = new Set([askUser.name, ...tools.map(({ declaration }) => declaration.name)]);

  async function toolsOf({ mcpServers }: AgentDefinition): Promise<readonly Tool[]> {
    if (Object.keys(mcpServers).length === 0) return tools;
    if (mcp === undefined) throw new FatalError('This agent has no MCP servers.');
    return [...tools, ...(await mcp.toolsOf(mcpServers, taken))];
  }

  return {
    async run(turn) {
      const definition = definitionOf(turn);
      try {
        const loop = new Loop(turn, definition, model, await toolsOf(definition));
        try {
          return await loop.run();
        } catch (error) {
          if (error instanceof LimitError && !turn.signal.aborted) return await loop.stopped(error);
          throw error;
        }
      } catch (error) {
        if (!(error instanceof CredentialsError) || turn.signal.aborted) throw error;
        return { state: 'TASK_STATE_AUTH_REQUIRED', message: error.message };
      }
    },
    close: async () => mcp?.close(),
  };
}

function definitionOf(turn: Turn): AgentDefinition {
  try {
    return readAgentDefinition(turn.definition);
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    throw new FatalError(`The agent's definition cannot be used: ${error.message}`, { cause: error });
  }
}
