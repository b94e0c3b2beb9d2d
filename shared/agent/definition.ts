/**
 * An agent as data: the schema of the YAML in `AGENT_FILE`. The api service builds the agent card from it and
 * the worker runs it. A task keeps the definition that it started with, as JSON, and refers to it by its
 * hash.
 *
 * Unknown fields are refused, because they would have no effect.
 */
import * as v from 'valibot';
import type { JsonObject } from '../domain/message.ts';
import { canonicalHash } from './canonical-hash.ts';
import {
  above,
  FiniteNumber,
  atLeast,
  atMost,
  mapping,
  strictMapping,
  Count,
  list,
  nonEmptyList,
  MediaType,
  AnyText,
  choice,
  Text,
  Url,
  Integer,
} from './fields.ts';
import { checkGateway, hasGateway, OptionalGateway, withGatewayDefaults } from './gateway.ts';
import { defaultMaxHops } from './hops.ts';
import { McpServers, checkMcpServers } from './mcp-servers.ts';
import { checkModelApi } from './model-api.ts';
import { ModelSettings } from './model-settings.ts';
import { toProblem, type Problem } from './problems.ts';
import { checkRemoteAgents, RemoteAgents } from './remote-agents.ts';

const Skill = strictMapping({
  id: v.pipe(AnyText, v.regex(/^[\w.-]+$/, 'must contain only letters, digits, ".", "_" or "-"')),
  name: Text,
  description: Text,
  tags: list(Text),
  examples: v.exactOptional(list(Text)),
  inputModes: v.exactOptional(nonEmptyList(MediaType)),
  outputModes: v.exactOptional(nonEmptyList(MediaType)),
});

const defaultOutageSeconds = 3600;

const NotNegative = v.pipe(FiniteNumber, atLeast(0));

/** Per million tokens, in a currency of the operator's choice. Thoughts are priced as output. */
const Price = strictMapping({
  input: NotNegative,
  /** Default: the price of input. */
  cachedInput: v.exactOptional(NotNegative),
  output: NotNegative,
  /** Factors of these prices in other service tiers. Default: 1. */
  tiers: v.exactOptional(
    strictMapping({
      flex: v.exactOptional(NotNegative),
      priority: v.exactOptional(NotNegative),
      deferred: v.exactOptional(NotNegative),
      /** Default: 0.5. Not for cached input. */
      batch: v.exactOptional(NotNegative),
    }),
  ),
  /** The price of one call of a tool of Google, by its name in `grounding_tool_count` (types of @google/genai 3.1). */
  toolCalls: v.exactOptional(
    strictMapping({ google_search: v.exactOptional(NotNegative), google_maps: v.exactOptional(NotNegative) }),
  ),
});

/**
 * modelCalls, toolCalls, workSeconds and turnSeconds apply to one turn of a task, from a message to its
 * answer; tokens, cost and taskSeconds to the whole task; the owner's limits to all of the owner's tasks.
 * Tokens and cost never interrupt a running model call. stepSeconds, turnSeconds and taskSeconds apply
 * to agents in code too.
 */
const Limits = strictMapping({
  modelCalls: v.optional(Count, 20),
  toolCalls: v.optional(Count, 100),
  /**
   * Seconds in model calls and tool calls. Time in which the task is parked, queued or waits for a call in the background
   * does not count.
   */
  workSeconds: v.optional(Count, 3600),
  /**
   * Seconds for one call in the background, which does not count as work. When they pass, the call is canceled and the
   * task fails.
   */
  backgroundSeconds: v.optional(Count, 86_400),
  /** Seconds for one call in a batch, with the time in which it is collected. When they pass, the task fails. */
  batchSeconds: v.optional(Count, 3 * 86_400),
  /** Input and output tokens. Once they are spent, no further model call starts. */
  tokens: v.exactOptional(Count),
  /** The same limit, by the price table instead of tokens. */
  cost: v.exactOptional(v.pipe(FiniteNumber, above(0))),
  /** For all tasks of one owner together, since midnight UTC. */
  ownerTokensPerDay: v.exactOptional(Count),
  ownerCostPerDay: v.exactOptional(v.pipe(FiniteNumber, above(0))),
  /** Seconds for one run of a step that sets no limit of its own. */
  stepSeconds: v.exactOptional(Count),
  /** Seconds from the first step of a turn to its end, including waits. */
  turnSeconds: v.exactOptional(Count),
  /**
   * Seconds for which failures of the model, of tool servers and of other partners that may pass are waited
   * for. An overloaded model is waited for without a bound. 0: retries within seconds only.
   */
  outageSeconds: v.optional(v.pipe(Integer, atLeast(0)), defaultOutageSeconds),
  /** Seconds from the start of a task to its deadline, if its sender sets none. */
  taskSeconds: v.exactOptional(Count),
  /** Calls from agent to agent, one within the other. 0: this agent calls no other. */
  hops: v.optional(v.pipe(Integer, atLeast(0), atMost(100)), defaultMaxHops),
});

/** Limits per minute, for all workers together. */
const Quota = strictMapping({
  requestsPerMinute: v.exactOptional(v.pipe(FiniteNumber, atLeast(0.01))),
  /** Input tokens, as Gemini counts them. */
  tokensPerMinute: v.exactOptional(Count),
});

/** How many turns of the context an agent reads before its own, unless it asks for another number. */
const defaultHistoryTurns = 100;

/** How much of the earlier conversation an agent reads, and how much is sent to the model. The oldest is dropped. */
const History = strictMapping({
  maxTurns: v.optional(v.pipe(Integer, atLeast(0), atMost(500)), defaultHistoryTurns),
  /** An estimate, about four characters per token. 0: nothing. */
  maxTokens: v.optional(v.pipe(Integer, atLeast(0)), 200_000),
});

/** Gemini's own tools, which run at Google. */
export const geminiTools = [
  'google_search',
  'url_context',
  'code_execution',
  'google_maps',
  'file_search',
] as const;
const builtInTools = ['ask_user', ...geminiTools] as const;

const fields = {
  name: Text,
  description: Text,
  version: Text,
  provider: v.exactOptional(strictMapping({ organization: Text, url: Url })),
  documentationUrl: v.exactOptional(Url),
  iconUrl: v.exactOptional(Url),
  skills: nonEmptyList(Skill),
  /** Shown only to authenticated callers, on the extended agent card. */
  extendedSkills: v.exactOptional(nonEmptyList(Skill)),
  inputModes: v.optional(nonEmptyList(MediaType), ['text/plain']),
  outputModes: v.optional(nonEmptyList(MediaType), ['text/plain']),
  instruction: Text,
  model: v.optional(ModelSettings, {}),
  tools: v.optional(list(choice(builtInTools)), ['ask_user']),
  mcpServers: McpServers,
  agents: RemoteAgents,
  /**
   * Paths of modules whose default export is a list of tools: absolute, or relative to the directory of the
   * worker's `AGENT_FILE`.
   */
  toolModules: v.optional(list(Text), []),
  /** A JSON Schema. The answer is then data that matches it, instead of text. */
  responseSchema: v.exactOptional(mapping(v.unknown())),
  limits: v.optional(Limits, {}),
  history: v.optional(History, {}),
  /** By the name of the model. */
  prices: v.optional(mapping(Price), {}),
  quotas: v.optional(mapping(Quota), {}),
  /** Another agent as the whole behavior, instead of a model. */
  a2a: OptionalGateway,
};

export const Definition = strictMapping(fields);

/** A definition whose whole behavior is another agent. Empty lists come from the card of that agent. */
const GatewayAgent = strictMapping({
  ...fields,
  skills: list(Skill),
  inputModes: list(MediaType),
  outputModes: list(MediaType),
});

export type AgentDefinition = v.InferOutput<typeof Definition>;

/** All problems of a definition, each with its position if the source is known: `agent.yaml:3:7: …`. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/**
 * Parses the definition stored with a task, perhaps by an older version. Fields added since then take their
 * defaults.
 *
 * @throws {DefinitionError} with all problems at once
 */
export function readAgentDefinition(stored: JsonObject): AgentDefinition {
  const { definition, problems } = checkDefinition(stored);
  if (definition !== undefined) return definition;
  throw new DefinitionError(problems.map(({ message }) => message));
}

/** Returns the time limits of a stored definition, even if other parts of it are not valid. */
export function getTimeLimits(
  stored: JsonObject,
): Pick<AgentDefinition['limits'], 'turnSeconds' | 'stepSeconds' | 'outageSeconds'> {
  const { limits = {} } = stored as { limits?: Partial<AgentDefinition['limits']> };
  return { ...limits, outageSeconds: limits.outageSeconds ?? defaultOutageSeconds };
}

/** Returns how many earlier turns the agent of a stored definition reads. */
export function getHistoryTurns(stored: JsonObject): number {
  const { history } = stored as { history?: Partial<AgentDefinition['history']> };
  return history?.maxTurns ?? defaultHistoryTurns;
}

/** Returns the SHA-256 (hex) of the canonical JSON. Comments and the order of fields do not change it. */
export function definitionHash(definition: AgentDefinition): string {
  return canonicalHash(definition);
}

/** Returns the definition with its defaults filled in, or its problems. */
export function checkDefinition(value: unknown): { definition?: AgentDefinition; problems: Problem[] } {
  const { success, output, issues } = hasGateway(value)
    ? v.safeParse(GatewayAgent, withGatewayDefaults(value))
    : v.safeParse(Definition, value);
  const problems = success ? findContradictions(output) : issues.map(toProblem);
  return success && problems.length === 0 ? { definition: output, problems } : { problems };
}

function findGatewayProblems(definition: AgentDefinition): Problem[] {
  const { a2a, name, description, version } = definition;
  if (a2a === undefined) return [];
  const defaults = v.parse(GatewayAgent, withGatewayDefaults({ a2a, name, description, version }));
  return checkGateway(a2a, definition, defaults);
}

/** Checks the rules that the schema cannot express. */
function findContradictions(definition: AgentDefinition): Problem[] {
  const { skills, extendedSkills = [], model, mcpServers, agents, limits, prices } = definition;
  const problems = [
    ...findGatewayProblems(definition),
    ...checkMcpServers(mcpServers),
    ...checkRemoteAgents(agents),
    ...checkModelApi(definition),
  ];
  for (const [index, { id }] of skills.entries()) {
    if (skills.findIndex((skill) => skill.id === id) < index) {
      problems.push({
        path: ['skills', index, 'id'],
        message: `skills[${index}].id: "${id}" is already used by an earlier skill (ids must be unique)`,
      });
    }
  }
  for (const [index, { id }] of extendedSkills.entries()) {
    const others = [...skills, ...extendedSkills.slice(0, index)];
    if (others.some((skill) => skill.id === id)) {
      problems.push({
        path: ['extendedSkills', index, 'id'],
        message: `extendedSkills[${index}].id: "${id}" is already used by an earlier skill (ids must be unique)`,
      });
    }
  }
  for (const name of ['cost', 'ownerCostPerDay'] as const) {
    if (limits[name] === undefined || prices[model.name] !== undefined) continue;
    problems.push({
      path: ['limits', name],
      key: true,
      message: `limits.${name}: the model "${model.name}" has no price (add it to prices)`,
    });
  }
  if (definition.tools.includes('file_search') !== (model.fileSearchStores !== undefined)) {
    problems.push({
      path: ['tools'],
      key: true,
      message: 'tools: file_search and model.fileSearchStores need each other (add the missing one)',
    });
  }
  if (model.thinkingBudget !== undefined && model.thinkingLevel !== undefined) {
    problems.push({
      path: ['model', 'thinkingBudget'],
      key: true,
      message:
        'model: thinkingLevel and thinkingBudget exclude each other (set thinkingLevel for Gemini 3 and later, else thinkingBudget)',
    });
  }
  return problems;
}
