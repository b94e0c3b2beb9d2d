/** The definition of an agent in code that has no YAML: the fields by which it describes itself (docs/getting-started.md). */
import { checkDefinition, type AgentDefinition } from './definition.ts';
import { describeUnknownField, type Problem } from './problems.ts';

const fields: readonly (keyof CodeDefinition)[] = [
  'name',
  'description',
  'skills',
  'version',
  'provider',
  'documentationUrl',
  'iconUrl',
  'extendedSkills',
  'inputModes',
  'outputModes',
  'limits',
  'prices',
  'history',
];

/** The fields of `agent.yaml` that have a meaning for code (docs/agents/README.md). */
export interface CodeDefinition extends Partial<
  Pick<
    AgentDefinition,
    'provider' | 'documentationUrl' | 'iconUrl' | 'extendedSkills' | 'inputModes' | 'outputModes' | 'prices'
  >
> {
  name: string;
  description: string;
  /** Default: one, with the name and the description of the agent. */
  skills?: AgentDefinition['skills'];
  /** The version on the card. Default: that of the agent, otherwise 1.0.0. */
  version?: string;
  limits?: Partial<AgentDefinition['limits']>;
  history?: Partial<AgentDefinition['history']>;
}

/** Returns the definition with its defaults, or its problems. */
export function checkCodeDefinition(
  value: unknown,
  agentVersion: string | undefined,
): { definition?: AgentDefinition; problems: Problem[] } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return { problems: [{ path: [], message: 'must be an object with name and description' }] };
  }
  const unknown = Object.keys(value).filter((key) => !fields.some((field) => field === key));
  if (unknown.length > 0) {
    const problems = unknown.map((key) => ({
      path: [key],
      message: `${key}: ${describeUnknownField(key, fields)}`,
    }));
    return { problems };
  }
  const { name, description } = value as Partial<CodeDefinition>;
  const skill = { id: 'default', name, description, tags: [] };
  // For the model, which code does not use.
  const instruction = 'none';
  return checkDefinition({ version: agentVersion ?? '1.0.0', skills: [skill], ...value, instruction });
}
