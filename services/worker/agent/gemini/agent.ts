/** The Gemini agent: runs the model and the tools that a task's definition names, in the loop of loop.ts. */
import { DefinitionError, readAgentDefinition, type AgentDefinition } from '#shared/agent/definition.ts';
import { isCalledByGoogle } from '#shared/agent/mcp-servers.ts';
import type { Powers } from '#shared/agent/powers.ts';
import type { ReadSpentToday } from '#shared/db/models/ledger.ts';
import type { CheckCost } from '#shared/db/owners/cost.ts';
import type { ModelQuotas } from '#shared/db/models/quotas.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import { serviceTierExtension } from '#shared/domain/service-tier.ts';
import type { Logger } from '#shared/runtime/log.ts';
import type { Agent, Turn } from '../agent.ts';
import { canWaitForModel } from '../model-wait.ts';
import { checkPowers } from '../check-powers.ts';
import { CredentialsError } from '../errors.ts';
import { createFetch } from '../fetch.ts';
import { createDownloads, type DownloadLimits } from '../files/downloads.ts';
import { createFileFetcher, type FileFetcher } from '../files/fetch-file.ts';
import type { McpTools } from '../mcp/tools.ts';
import { ParkedTurns, type WakeTurns } from '../parked-turns.ts';
import { defaultSilenceMs, PartnerWaits } from '../partner-waits.ts';
import type { RemoteAgents } from '../remote/agent.ts';
import { createAgentTools } from '../remote/tools.ts';
import { loadToolModules } from '../tools/modules.ts';
import { startCollector } from './batch/collector.ts';
import type { Batches } from './batch/stores.ts';
import { LimitError } from './budget.ts';
import { startCancellation, type AbandonedCalls } from './interactions/abandoned.ts';
import { startDeletion, type StoredCalls } from './interactions/deletion.ts';
import { startPolling, type DueCalls } from './interactions/polling.ts';
import { Loop, type LoopParts } from './loop.ts';
import { defaultModelBackoff, type ModelBackoff } from './model/backoff.ts';
import type { GeminiModel } from './model/call.ts';
import { createGeminiClient, maxSilenceMs } from './model/client.ts';
import type { GeminiClientOptions } from './model/credentials.ts';
import { createTaskQuota, unlimitedQuota } from './model/quota.ts';
import { restoreConversation } from './restore.ts';
import { askUser } from './tools/ask-user.ts';
import type { DeclaredTool, Tool } from './tools/tool.ts';

/** The accounting of model calls that all workers share. */
export interface Meter {
  spentToday: ReadSpentToday;
  checkCost: CheckCost;
  quotas: ModelQuotas;
}

export interface GeminiAgentOptions {
  client: GeminiClientOptions;
  /** Tools in code, in addition to those of the modules that a definition names. */
  tools?: readonly Tool[];
  /** Where relative paths of tool modules start. Default: the working directory. */
  toolDirectory?: string;
  /** If omitted, definitions with MCP servers are refused. */
  mcp?: McpTools;
  /** If omitted, definitions with other agents are refused. */
  remote?: RemoteAgents;
  /** The modules, commands and secrets that definitions may name. If omitted, all: the definitions are trusted. */
  powers?: Powers;
  /** If omitted, definitions with owner limits or model quotas are refused. */
  meter?: Meter | undefined;
  /** Fetches the files of messages. */
  files?: FileFetcher;
  downloads?: DownloadLimits;
  /** Buckets of Cloud Storage whose objects callers may name. Default: none. */
  buckets?: readonly string[];
  backoff?: ModelBackoff;
  /** How long a partner may be silent before the status of the task says so. */
  silenceMs?: number;
  /** Called when a partner answers for which turns are parked. */
  wakeTurns?: WakeTurns | undefined;
  /** Adds prompts and answers to telemetry. Default: false. */
  captureContent?: boolean;
  /** If omitted, calls at Google that no task waits for anymore are not canceled. */
  abandoned?: AbandonedCalls | undefined;
  /** If omitted, calls at Google are not deleted with their tasks. */
  stored?: StoredCalls | undefined;
  /** If omitted, calls at Google that are not streamed are found by webhooks alone. */
  polls?: DueCalls | undefined;
  /** If omitted, definitions and tasks with the service tier `batch` are refused. */
  batches?: Batches | undefined;
  log?: Logger | undefined;
}

const defaultDownloads: DownloadLimits = {
  concurrency: 20,
  maxTurnFiles: 20,
  maxTurnBytes: 40 * 1024 * 1024,
};

/** @throws {Error} if no credentials are configured */
export function createGeminiAgent({
  client,
  tools = [],
  toolDirectory = process.cwd(),
  mcp,
  remote,
  powers,
  meter,
  files = createFileFetcher(),
  downloads = defaultDownloads,
  buckets = [],
  backoff = defaultModelBackoff,
  silenceMs = defaultSilenceMs,
  wakeTurns = () => undefined,
  captureContent = false,
  abandoned,
  stored,
  polls,
  batches,
  log,
}: GeminiAgentOptions): Agent {
  const model: GeminiModel = {
    client: createGeminiClient(client),
    fetch: createFetch(maxSilenceMs),
    backoff,
    buckets,
    plainWebhooks: client.baseUrl !== undefined,
    projectWebhooks: client.projectWebhooks ?? false,
    captureContent,
  };
  const cancellation = abandoned && startCancellation(model.client, abandoned, log);
  const deletion = stored && startDeletion(model.client, stored, log);
  const collector = batches && startCollector(model.client, batches, model, log);
  const polling = polls && startPolling(model.client, polls, log);

  const openDownloads = createDownloads(files, downloads);
  const parkedTurns = new ParkedTurns(wakeTurns);

  /** Says in the status of a new task, and to the model, which tools are left out. */
  async function loadTools(
    { mcpServers, agents, toolModules }: AgentDefinition,
    turn: Turn,
    waits: PartnerWaits,
  ): Promise<Pick<LoopParts, 'tools' | 'notes' | 'googleServers'>> {
    const inCode = [
      ...tools,
      ...(await loadToolModules(toolModules, toolDirectory)),
      ...(await loadAgentTools(agents)),
    ];
    const servers = Object.entries(mcpServers);
    if (servers.length === 0) return { tools: inCode, notes: [], googleServers: [] };
    if (mcp === undefined) throw new FatalError('This agent does not support MCP servers.');
    const googleServers = servers
      .filter(([, server]) => isCalledByGoogle(server))
      .map(([name, server]) => mcp.toGoogleServer(name, server));
    const own = Object.fromEntries(servers.filter(([, server]) => !isCalledByGoogle(server)));
    const taken = new Set([askUser.name, ...inCode.map(({ declaration }) => declaration.name)]);
    const { tools: listed, leftOut } = await mcp.loadTools(own, taken, waits);
    if (leftOut.length > 0 && turn.number === 1) await turn.progress(leftOut.join('\n'));
    return { tools: [...inCode, ...listed], notes: leftOut, googleServers };
  }

  async function loadAgentTools(agents: AgentDefinition['agents']): Promise<DeclaredTool[]> {
    if (Object.keys(agents).length === 0) return [];
    if (remote === undefined) throw new FatalError('This agent does not support other agents.');
    return createAgentTools(agents, remote);
  }

  return {
    async run(turn) {
      if (!canWaitForModel(turn)) throw new FatalError('This turn cannot wait for the model.');
      const definition = withTaskTier(readDefinition(turn), turn.metadata);
      checkSupported(definition, client);
      const partnerWaits = new PartnerWaits(turn, silenceMs, parkedTurns);
      if (powers !== undefined) {
        const { taskId, owner } = turn;
        checkPowers(definition, powers, (refused) =>
          log?.error({ taskId, owner, refused }, 'stored agent definition refused'),
        );
      }
      try {
        const parts = {
          definition,
          model,
          batches,
          partnerWaits,
          downloads: openDownloads(turn.owner, (bytes) => turn.reserveMemory(bytes), partnerWaits),
          ...(await loadTools(definition, turn, partnerWaits)),
          ...getMetering(meter, definition, turn, log),
        };
        const conversation = await restoreConversation(turn, parts);
        const modelLoop = new Loop(turn, { ...parts, conversation });
        try {
          return await modelLoop.run();
        } catch (error) {
          if (error instanceof LimitError && !turn.signal.aborted) return await modelLoop.stop(error);
          throw error;
        }
      } catch (error) {
        if (!(error instanceof CredentialsError) || turn.signal.aborted) throw error;
        return { state: 'TASK_STATE_AUTH_REQUIRED', message: error.message };
      }
    },
    close: async () => {
      await Promise.all([
        cancellation?.close(),
        deletion?.close(),
        polling?.close(),
        collector?.close(),
        mcp?.close(),
        files.close(),
      ]);
    },
  };
}

function getMetering(
  meter: Meter | undefined,
  { model, quotas, limits }: AgentDefinition,
  { owner, taskId }: Turn,
  log: Logger | undefined,
): Pick<LoopParts, 'spentToday' | 'checkCost' | 'quota'> {
  if (meter !== undefined) {
    return {
      spentToday: () => meter.spentToday(owner),
      checkCost: () => meter.checkCost(owner),
      quota: createTaskQuota(meter.quotas, { taskId, model: model.name, ...quotas[model.name] }, log),
    };
  }
  if (limits.ownerTokensPerDay ?? limits.ownerCostPerDay ?? quotas[model.name]) {
    throw new FatalError('This agent does not support the owner limits or model quotas of its definition.');
  }
  return {
    spentToday: async () => ({ tokens: 0, cost: 0 }),
    checkCost: async () => undefined,
    quota: unlimitedQuota,
  };
}

/** @throws {FatalError} if the service tier of the definition cannot be used (docs/develop/gemini.md) */
function checkSupported({ model }: AgentDefinition, { vertexai = false }: GeminiClientOptions): void {
  if (!vertexai || model.serviceTier !== 'batch') return;
  throw new FatalError(
    'The service tier batch needs the Gemini API: the Batch API of Google Cloud takes no requests directly. ' +
      'Set GEMINI_API_KEY instead of GOOGLE_GENAI_USE_VERTEXAI.',
  );
}

/** The api has checked that the definition offers the tier that the task asks for. */
function withTaskTier(definition: AgentDefinition, metadata: JsonObject): AgentDefinition {
  const tier = definition.model.taskServiceTiers?.find((each) => each === metadata[serviceTierExtension]);
  return tier === undefined
    ? definition
    : { ...definition, model: { ...definition.model, serviceTier: tier } };
}

function readDefinition(turn: Turn): AgentDefinition {
  try {
    return readAgentDefinition(turn.definition);
  } catch (error) {
    if (!(error instanceof DefinitionError)) throw error;
    throw new FatalError(`The agent's definition is not valid: ${error.message}`, { cause: error });
  }
}
