/** The agent that runs Gemini: the model and the tools that a task's definition names, in the loop of loop.ts. */
import { DefinitionError, readAgentDefinition } from '#shared/agent/definition.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { ReadSpentToday } from '#shared/db/models/ledger.ts';
import type { ModelQuotas } from '#shared/db/models/quotas.ts';
import { FatalError } from '#shared/domain/errors.ts';
import { noUsage } from '#shared/domain/usage.ts';
import type { Agent, Turn } from '../agent.ts';
import { CredentialsError } from '../errors.ts';
import { createFileFetcher, type FileFetcher } from '../files/fetch-file.ts';
import type { McpTools } from '../mcp/tools.ts';
import { loadToolModules } from '../tools/modules.ts';
import { askUser } from './tools/ask-user.ts';
import { defaultBackoff } from './model/backoff.ts';
import type { Backoff } from './model/backoff.ts';
import { LimitError } from './budget.ts';
import { createFetch, createGeminiClient } from './model/client.ts';
import { addSaid } from './conversation/contents.ts';
import type { GeminiClientOptions } from './model/credentials.ts';
import { newestWithin } from './conversation/history.ts';
import { Loop, type Conversation, type LoopParts } from './loop.ts';
import type { Model } from './model/call.ts';
import { unlimitedQuota, createTaskQuota } from './model/quota.ts';
import { NotRecordedError, recordedTurn } from './conversation/recorded-turn.ts';
import type { Tool } from './tools/tool.ts';

/** What all workers know together of the calls that they make. */
export interface Meter {
  spentToday: ReadSpentToday;
  quotas: ModelQuotas;
}

export interface GeminiAgentOptions {
  client: GeminiClientOptions;
  /** Tools in code, beside those of the modules that a definition names. */
  tools?: readonly Tool[];
  /** Left out: MCP servers of a definition are refused. */
  mcp?: McpTools;
  /** Left out: limits of owners and quotas of models are refused. */
  meter?: Meter | undefined;
  /** Fetches the files of messages. */
  files?: FileFetcher;
  backoff?: Backoff;
  /** What is said to the model and by it goes into telemetry. */
  captureContent?: boolean;
}

/** @throws {Error} when no credentials are configured */
export function createGeminiAgent({
  client,
  tools = [],
  mcp,
  meter,
  files = createFileFetcher(),
  backoff = defaultBackoff,
  captureContent = false,
}: GeminiAgentOptions): Agent {
  const model: Model = { client: createGeminiClient(client), fetch: createFetch(), backoff, captureContent };

  async function toolsOf({ mcpServers, toolModules }: AgentDefinition): Promise<readonly Tool[]> {
    const inCode = [...tools, ...(await loadToolModules(toolModules))];
    if (Object.keys(mcpServers).length === 0) return inCode;
    if (mcp === undefined) throw new FatalError('This agent has no MCP servers.');
    const taken = new Set([askUser.name, ...inCode.map(({ declaration }) => declaration.name)]);
    return [...inCode, ...(await mcp.toolsOf(mcpServers, taken))];
  }

  return {
    async run(turn) {
      const definition = definitionOf(turn);
      try {
        const parts = {
          definition,
          model,
          files,
          tools: await toolsOf(definition),
          ...measured(meter, definition, turn),
        };
        const loop = new Loop(turn, { ...parts, conversation: await conversationBefore(turn, parts) });
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
    close: async () => {
      await Promise.all([mcp?.close(), files.close()]);
    },
  };
}

/** What was said before this turn: of this task as it was, calls and their results included; of others in words. */
async function conversationBefore(turn: Turn, parts: Omit<LoopParts, 'conversation'>): Promise<Conversation> {
  const conversation: Conversation = { contents: [], spent: noUsage };
  const turns = new Map(turn.earlierTurns.map((earlier) => [earlier.number, earlier]));
  const recalled = new Set<number>();
  for (const entry of turn.history) {
    const earlier = entry.taskId === turn.taskId ? turns.get(entry.turn) : undefined;
    if (earlier !== undefined && recalled.has(earlier.number)) continue;
    // Of a turn of another kind of agent, or one that came to nothing, there are only words.
    if (earlier === undefined || (earlier.steps.length === 0 && conversation.waiting === undefined)) {
      addSaid(conversation.contents, entry);
      continue;
    }
    recalled.add(earlier.number);
    // Without tools: nothing can be called by what is over.
    const loop = new Loop(recordedTurn(earlier, turn), { ...parts, tools: [], conversation });
    await loop.run().catch((error: unknown) => {
      // It ended before its next step: for want of credentials, say.
      if (!(error instanceof NotRecordedError)) throw error;
    });
  }
  const { maxTokens } = parts.definition.history;
  conversation.contents = newestWithin(conversation.contents, maxTokens, conversation.waiting !== undefined);
  return conversation;
}

function measured(
  meter: Meter | undefined,
  { model, quotas, limits }: AgentDefinition,
  { tenant, owner, taskId }: Turn,
): Pick<LoopParts, 'spentToday' | 'quota'> {
  if (meter !== undefined) {
    return {
      spentToday: () => meter.spentToday({ tenant, owner }),
      quota: createTaskQuota(meter.quotas, { taskId, model: model.name, ...quotas[model.name] }),
    };
  }
  if (limits.ownerTokensPerDay ?? limits.ownerCostPerDay ?? quotas[model.name]) {
    throw new FatalError('This agent keeps no ledger and no quotas, which its definition asks for.');
  }
  return { spentToday: async () => ({ tokens: 0, cost: 0 }), quota: unlimitedQuota };
}

function definitionOf(turn: Turn): AgentDefinition {
  try {
    return readAgentDefinition(turn.definition);
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    throw new FatalError(`The agent's definition cannot be used: ${error.message}`, { cause: error });
  }
}
