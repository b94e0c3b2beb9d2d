/**
 * An agent as data: what the YAML of `AGENT_FILE` may say. The front door makes the agent card of it, the worker runs
 * it; a task keeps the definition that it began with, as JSON, and names it by its hash.
 *
 * Fields that nothing implements are refused, so that no one believes to have set what has no effect.
 */
import * as v from 'valibot';
import type { JsonObject } from '../domain/message.ts';
import { canonicalHash } from './canonical-hash.ts';
import {
  above,
  Amount,
  atLeast,
  atMost,
  byName,
  closed,
  Count,
  listOf,
  listOfSome,
  MediaType,
  AnyText,
  oneOf,
  Text,
  Url,
  Whole,
} from './fields.ts';
import { McpServers, mcpContradictions } from './mcp-servers.ts';
import { toProblem, type Problem } from './problems.ts';

const Skill = closed({
  id: v.pipe(AnyText, v.regex(/^[\w.-]+$/, 'may have only letters, digits, ".", "_" and "-"')),
  name: Text,
  description: Text,
  tags: listOf(Text),
  examples: v.exactOptional(listOf(Text)),
  inputModes: v.exactOptional(listOfSome(MediaType)),
  outputModes: v.exactOptional(listOfSome(MediaType)),
});

const Model = closed({
  name: v.optional(Text, 'gemini-3.8-flash'),
  temperature: v.exactOptional(v.pipe(Amount, atLeast(0), atMost(2))),
  topP: v.exactOptional(v.pipe(Amount, atLeast(0), atMost(1))),
  topK: v.exactOptional(Count),
  maxOutputTokens: v.exactOptional(Count),
  /** Tokens that the model may think; 0: none, -1: the model decides. For models before Gemini 3. */
  thinkingBudget: v.exactOptional(v.pipe(Whole, atLeast(-1))),
  /** The same for Gemini 3 and later. */
  thinkingLevel: v.exactOptional(oneOf(['minimal', 'low', 'medium', 'high'])),
});

const NotNegative = v.pipe(Amount, atLeast(0));

/** For a million tokens, in whatever currency the operator counts. Thoughts are priced as output. */
const Price = closed({
  input: NotNegative,
  /** Left out: as input. */
  cachedInput: v.exactOptional(NotNegative),
  output: NotNegative,
});

/**
 * The first three, and turnSeconds, count within one turn of a task, from a message to its answer; tokens, cost and
 * taskSeconds within the whole task; those of an owner over tasks. A call of the model that has begun is not cut short by
 * tokens or cost. The last three hold for agents in code as well.
 */
const Limits = closed({
  modelCalls: v.optional(Count, 20),
  toolCalls: v.optional(Count, 100),
  /** Seconds spent in calls of the model and of tools. Time in which the task waits, parked or queued, is free. */
  workSeconds: v.optional(Count, 3600),
  /** Tokens in and out of the model. No further call is made when as many are spent. */
  tokens: v.exactOptional(Count),
  /** The same by the price table. */
  cost: v.exactOptional(v.pipe(Amount, above(0))),
  /** Of all tasks of one owner together, since midnight UTC. */
  ownerTokensPerDay: v.exactOptional(Count),
  ownerCostPerDay: v.exactOptional(v.pipe(Amount, above(0))),
  /** Seconds that one run of a step may take which names no bound of its own. */
  stepSeconds: v.exactOptional(Count),
  /** Seconds from the first step of a turn to its end, waits included. */
  turnSeconds: v.exactOptional(Count),
  /** Seconds from the start of a task to its deadline, where its sender names none. */
  taskSeconds: v.exactOptional(Count),
});

/** What one minute allows, over all workers. */
const Quota = closed({
  requestsPerMinute: v.exactOptional(v.pipe(Amount, atLeast(0.01))),
  /** Going in, as Gemini counts them. */
  tokensPerMinute: v.exactOptional(Count),
});

/** How much of what was said before a turn goes to the model; the oldest is dropped. */
const History = closed({
  /** Estimated: four characters a token. 0: nothing. */
  maxTokens: v.optional(v.pipe(Whole, atLeast(0)), 200_000),
});

/** Tools that Gemini has itself and runs on its side. */
export const geminiTools = ['google_search', 'url_context', 'code_execution'] as const;
const builtInTools = ['ask_user', ...geminiTools] as const;

export const Definition = closed({
  name: Text,
  description: Text,
  version: Text,
  provider: v.exactOptional(closed({ organization: Text, url: Url })),
  documentationUrl: v.exactOptional(Url),
  iconUrl: v.exactOptional(Url),
  skills: listOfSome(Skill),
  /** Shown only to callers who have authenticated, on the extended agent card. */
  extendedSkills: v.exactOptional(listOfSome(Skill)),
  inputModes: v.optional(listOfSome(MediaType), ['text/plain']),
  outputModes: v.optional(listOfSome(MediaType), ['text/plain']),
  instruction: Text,
  model: v.optional(Model, {}),
  tools: v.optional(listOf(oneOf(builtInTools)), ['ask_user']),
  mcpServers: McpServers,
  /** Modules whose default export is a list of tools: paths, absolute or from the worker's working directory. */
  toolModules: v.optional(listOf(Text), []),
  /** A JSON Schema: the answer is then data of that form instead of text. */
  responseSchema: v.exactOptional(byName(v.unknown())),
  limits: v.optional(Limits, {}),
  history: v.optional(History, {}),
  /** By the name of the model. */
  prices: v.optional(byName(Price), {}),
  quotas: v.optional(byName(Quota), {}),
});

export type AgentDefinition = v.InferOutput<typeof Definition>;

/** Every problem of a definition, each with its place where the text is known: `agent.yaml:3:7: …`. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/**
 * The definition that a task was stored with, perhaps by an older version: fields added since take their defaults.
 *
 * @throws {DefinitionError} with all problems at once
 */
export function readAgentDefinition(stored: JsonObject): AgentDefinition {
  const { definition, found } = checkDefinition(stored);
  if (definition !== undefined) return definition;
  throw new DefinitionError(found.map(({ message }) => message));
}

/** The bounds on time that a worker keeps, of a stored definition whatever else stands in it. */
export function getTimeLimits(
  stored: JsonObject,
): Pick<AgentDefinition['limits'], 'turnSeconds' | 'stepSeconds'> {
  return (stored['limits'] ?? {}) as AgentDefinition['limits'];
}

/** SHA-256 (hex) over the canonical JSON: the order of the fields and comments do not change it. */
export function definitionHash(definition: AgentDefinition): string {
  return canonicalHash(definition);
}

/** The definition with its defaults filled in, or what is wrong with it. */
export function checkDefinition(value: unknown): { definition?: AgentDefinition; found: Problem[] } {
  const { success, output, issues } = v.safeParse(Definition, value);
  const found = success ? contradictions(output) : issues.map(toProblem);
  return success && found.length === 0 ? { definition: output, found } : { found };
}

/** What the schema cannot say. */
function contradictions({
  skills,
  extendedSkills = [],
  model,
  mcpServers,
  limits,
  prices,
}: AgentDefinition): Problem[] {
  const problems = mcpContradictions(mcpServers);
  for (const [index, { id }] of skills.entries()) {
    if (skills.findIndex((skill) => skill.id === id) < index) {
      problems.push({
        path: ['skills', index, 'id'],
        message: `skills[${index}].id: "${id}" is taken by a skill before it`,
      });
    }
  }
  for (const [index, { id }] of extendedSkills.entries()) {
    const others = [...skills, ...extendedSkills.slice(0, index)];
    if (others.some((skill) => skill.id === id)) {
      problems.push({
        path: ['extendedSkills', index, 'id'],
        message: `extendedSkills[${index}].id: "${id}" is taken by a skill before it`,
      });
    }
  }
  for (const name of ['cost', 'ownerCostPerDay'] as const) {
    if (limits[name] === undefined || prices[model.name] !== undefined) continue;
    problems.push({
      path: ['limits', name],
      key: true,
      message: `limits.${name}: prices has no entry for the model "${model.name}"`,
    });
  }
  if (model.thinkingBudget !== undefined && model.thinkingLevel !== undefined) {
    problems.push({
      path: ['model', 'thinkingBudget'],
      key: true,
      message: 'model: set thinkingLevel (Gemini 3 and later) or thinkingBudget (before), not both',
    });
  }
  return problems;
}
