/**
 * An agent as data: what the YAML of `AGENT_FILE` may say. The front door makes the agent card of it, the worker runs
 * it; a task keeps the definition that it began with, as JSON, and names it by its hash.
 *
 * Fields that nothing implements are refused, so that no one believes to have set what has no effect.
 */
import { Type } from 'typebox';
import type { Static } from 'typebox';
import { Default } from 'typebox/value';
import type { JsonObject } from '../domain/message.ts';
import { canonicalHash } from './canonical-hash.ts';
import { McpServers, mcpContradictions } from './mcp-servers.ts';
import { problemsOf } from './problems.ts';
import type { Problem } from './problems.ts';
import { parseYaml } from './yaml.ts';

const closed = { additionalProperties: false };
const Text = Type.String({ minLength: 1 });
const Url = Type.String({ pattern: '^https?://\\S+$' });
const MediaType = Type.String({ pattern: '^[\\w.+*-]+/[\\w.+*-]+$' });
const positive = { minimum: 1 };

const Skill = Type.Object(
  {
    id: Type.String({ pattern: '^[\\w.-]+$' }),
    name: Text,
    description: Text,
    tags: Type.Array(Text),
    examples: Type.Optional(Type.Array(Text)),
    inputModes: Type.Optional(Type.Array(MediaType, { minItems: 1 })),
    outputModes: Type.Optional(Type.Array(MediaType, { minItems: 1 })),
  },
  closed,
);

const Model = Type.Object(
  {
    name: Type.String({ minLength: 1, default: 'gemini-3.8-flash' }),
    temperature: Type.Optional(Type.Number({ minimum: 0, maximum: 2 })),
    topP: Type.Optional(Type.Number({ minimum: 0, maximum: 1 })),
    topK: Type.Optional(Type.Integer(positive)),
    maxOutputTokens: Type.Optional(Type.Integer(positive)),
    /** Tokens that the model may think; 0: none, -1: the model decides. For models before Gemini 3. */
    thinkingBudget: Type.Optional(Type.Integer({ minimum: -1 })),
    /** The same for Gemini 3 and later. */
    thinkingLevel: Type.Optional(Type.Enum(['minimal', 'low', 'medium', 'high'])),
  },
  { ...closed, default: {} },
);

/** For a million tokens, in whatever currency the operator counts. Thoughts are priced as output. */
const Price = Type.Object(
  {
    input: Type.Number({ minimum: 0 }),
    /** Left out: as input. */
    cachedInput: Type.Optional(Type.Number({ minimum: 0 })),
    output: Type.Number({ minimum: 0 }),
  },
  closed,
);

/**
 * The first three, and turnSeconds, count within one turn of a task, from a message to its answer; tokens, cost and
 * taskSeconds within the whole task; those of an owner over tasks. A call of the model that has begun is not cut short by
 * tokens or cost. The last three hold for agents in code as well.
 */
const Limits = Type.Object(
  {
    modelCalls: Type.Integer({ ...positive, default: 20 }),
    toolCalls: Type.Integer({ ...positive, default: 100 }),
    /** Seconds spent in calls of the model and of tools. Time in which the task waits, parked or queued, is free. */
    workSeconds: Type.Integer({ ...positive, default: 3600 }),
    /** Tokens in and out of the model. No further call is made when as many are spent. */
    tokens: Type.Optional(Type.Integer(positive)),
    /** The same by the price table. */
    cost: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    /** Of all tasks of one owner together, since midnight UTC. */
    ownerTokensPerDay: Type.Optional(Type.Integer(positive)),
    ownerCostPerDay: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    /** Seconds that one run of a step may take which names no bound of its own. */
    stepSeconds: Type.Optional(Type.Integer(positive)),
    /** Seconds from the first step of a turn to its end, waits included. */
    turnSeconds: Type.Optional(Type.Integer(positive)),
    /** Seconds from the start of a task to its deadline, where its sender names none. */
    taskSeconds: Type.Optional(Type.Integer(positive)),
  },
  { ...closed, default: {} },
);

/** What one minute allows, over all workers. */
const Quota = Type.Object(
  {
    requestsPerMinute: Type.Optional(Type.Number({ minimum: 0.01 })),
    /** Going in, as Gemini counts them. */
    tokensPerMinute: Type.Optional(Type.Integer(positive)),
  },
  closed,
);

/** How much of what was said before a turn goes to the model; the oldest is dropped. */
const History = Type.Object(
  {
    /** Estimated: four characters a token. 0: nothing. */
    maxTokens: Type.Integer({ minimum: 0, default: 200_000 }),
  },
  { ...closed, default: {} },
);

/** Tools that Gemini has itself and runs on its side. */
export const geminiTools = ['google_search', 'url_context', 'code_execution'] as const;
export const builtInTools = ['ask_user', ...geminiTools] as const;

/** The schema of a definition whose defaults are filled in. */
export const Definition = Type.Object(
  {
    name: Text,
    description: Text,
    version: Text,
    provider: Type.Optional(Type.Object({ organization: Text, url: Url }, closed)),
    documentationUrl: Type.Optional(Url),
    iconUrl: Type.Optional(Url),
    skills: Type.Array(Skill, { minItems: 1 }),
    /** Shown only to callers who have authenticated, on the extended agent card. */
    extendedSkills: Type.Optional(Type.Array(Skill, { minItems: 1 })),
    inputModes: Type.Array(MediaType, { minItems: 1, default: ['text/plain'] }),
    outputModes: Type.Array(MediaType, { minItems: 1, default: ['text/plain'] }),
    instruction: Text,
    model: Model,
    tools: Type.Array(Type.Enum([...builtInTools]), { default: ['ask_user'] }),
    mcpServers: McpServers,
    /** Modules whose default export is a list of tools: paths, absolute or from the worker's working directory. */
    toolModules: Type.Array(Text, { default: [] }),
    /** A JSON Schema: the answer is then data of that form instead of text. */
    responseSchema: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    limits: Limits,
    history: History,
    /** By the name of the model. */
    prices: Type.Record(Type.String(), Price, { default: {} }),
    quotas: Type.Record(Type.String(), Quota, { default: {} }),
  },
  closed,
);

export type AgentDefinition = Static<typeof Definition>;

/** Every problem of a definition, each with its place where the text is known: `agent.yaml:3:7: …`. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

/** @throws {DefinitionError} with all problems at once */
export function parseAgentDefinition(text: string, fileName: string): AgentDefinition {
  const yaml = parseYaml(text);
  const problems = [...yaml.problems];
  if (problems.length === 0) {
    const filled = filledIn(yaml.value);
    for (const { path, key, message } of found(filled))
      problems.push({ ...yaml.placeOf(path, key), message });
    if (problems.length === 0) return filled as AgentDefinition;
  }
  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  throw new DefinitionError(
    problems.map(({ line, column, message }) => `${fileName}:${line}:${column}: ${message}`),
  );
}

/**
 * The definition that a task was stored with, perhaps by an older version: fields added since take their defaults.
 *
 * @throws {DefinitionError} with all problems at once
 */
export function readAgentDefinition(stored: JsonObject): AgentDefinition {
  const filled = filledIn(stored);
  const problems = found(filled);
  if (problems.length === 0) return filled as AgentDefinition;
  throw new DefinitionError(problems.map(({ message }) => message));
}

/** The bounds on time that a worker keeps, of a stored definition whatever else stands in it. */
export function timeLimitsOf(
  stored: JsonObject,
): Pick<AgentDefinition['limits'], 'turnSeconds' | 'stepSeconds'> {
  return (stored['limits'] ?? {}) as AgentDefinition['limits'];
}

/** SHA-256 (hex) over the canonical JSON: the order of the fields and comments do not change it. */
export function definitionHash(definition: AgentDefinition): string {
  return canonicalHash(definition);
}

function filledIn(value: unknown): unknown {
  return Default(Definition, structuredClone(value));
}

function found(value: unknown) {
  const problems = problemsOf(Definition, value);
  return problems.length > 0 ? problems : contradictions(value as AgentDefinition);
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
