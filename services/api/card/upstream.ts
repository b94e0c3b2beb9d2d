/** Merges the card of the agent behind a gateway into the definition of ours (docs/develop/gateway.md). */
import { AgentCard } from '@a2a-js/sdk';
import { approvalExtension } from '#shared/agent/approval.ts';
import type { AgentDefinition } from '#shared/agent/definition.ts';
import type { JsonObject } from '#shared/domain/message.ts';

type Skill = AgentDefinition['skills'][number];

/** The most that our card takes over. */
const maxSkills = 200;
const maxModes = 50;
const maxChars = 4_000;

const defaultModes = ['text/plain'];
/** Until the card of the other agent is known, all messages are accepted. */
const anyMode = ['*/*'];

export interface MergedDefinition extends AgentDefinition {
  /** The other agent may ask for approvals. */
  approves?: boolean;
}

/**
 * Returns the definition with the skills and modes of the other agent. Those of the definition take precedence; a skill of
 * the same id replaces the other one.
 *
 * @param json the card of the other agent, in the form of A2A 1.0; undefined: not known yet
 */
export function mergeUpstream(definition: AgentDefinition, json: JsonObject | undefined): MergedDefinition {
  const { a2a, skills: own, name, description } = definition;
  if (a2a === undefined) return definition;
  const card = json === undefined ? undefined : AgentCard.fromJSON(json);
  const found = (card?.skills ?? [])
    .flatMap(toSkill)
    .filter(({ id }, index, all) => all.findIndex((skill) => skill.id === id) === index)
    .filter(({ id }) => a2a.skills === undefined || a2a.skills.includes(id))
    .filter(({ id }) => own.every((skill) => skill.id !== id));
  const skills = [...own, ...found].slice(0, maxSkills);
  const modes = (given: string[], other: readonly string[] | undefined): string[] => {
    if (given.length > 0) return given;
    if (other === undefined) return anyMode;
    const usable = other.filter((mode) => mode !== '' && mode.length <= 200).slice(0, maxModes);
    return usable.length > 0 ? usable : defaultModes;
  };
  return {
    ...definition,
    skills: skills.length > 0 ? skills : [{ id: 'default', name, description, tags: [] }],
    inputModes: modes(definition.inputModes, card?.defaultInputModes),
    outputModes: modes(definition.outputModes, card?.defaultOutputModes),
    approves: card?.capabilities?.extensions.some(({ uri }) => uri === approvalExtension) ?? false,
  };
}

function toSkill({
  id,
  name,
  description,
  tags,
  examples,
  inputModes,
  outputModes,
}: AgentCard['skills'][number]): Skill[] {
  const texts = [id, name, description, ...tags, ...examples, ...inputModes, ...outputModes];
  if (id === '' || name === '' || texts.join('').length > maxChars) return [];
  return [
    {
      id,
      name,
      description,
      tags,
      ...(examples.length > 0 && { examples }),
      ...(inputModes.length > 0 && { inputModes }),
      ...(outputModes.length > 0 && { outputModes }),
    },
  ];
}
