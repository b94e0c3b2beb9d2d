/** The other agents of a definition as tools of the Gemini agent, described to the model by their cards. */
import type { RemoteAgentDefinition } from '#shared/agent/remote-agents.ts';
import type { AgentCallTool } from '../gemini/tools/tool.ts';
import type { RemoteAgents, RemoteCard } from './agent.ts';

const maxDescriptionChars = 4_000;

export async function createAgentTools(
  agents: Record<string, RemoteAgentDefinition>,
  remote: RemoteAgents,
): Promise<AgentCallTool[]> {
  return Promise.all(
    Object.entries(agents).map(async ([name, definition]) => {
      const card = await (await remote.open(name, definition)).describe();
      return {
        declaration: {
          name: `call_${name}`,
          description: describe(name, card, definition.skills),
          parametersJsonSchema,
        },
        confirm: definition.confirm ?? false,
        agent: name,
        maxOutputChars: definition.maxOutputChars,
      };
    }),
  );
}

const parametersJsonSchema = {
  type: 'object',
  properties: {
    message: {
      type: 'string',
      description:
        'The task for the agent, with all that it needs to know: it does not see this conversation.',
    },
    contextId: {
      type: 'string',
      description: 'The contextId of an earlier result of this agent, to continue that conversation with it.',
    },
  },
  required: ['message'],
};

function describe(name: string, card: RemoteCard | undefined, chosen: readonly string[] | undefined): string {
  const how = 'It may take long: the task waits for it.';
  if (card === undefined)
    return `Sends a message to the agent "${name}", whose description cannot be read now. ${how}`;
  const skills = card.skills.filter(({ id }) => chosen === undefined || chosen.includes(id));
  const text = [
    `Sends a message to another agent, "${card.name}": ${card.description} ${how}`,
    ...(skills.length === 0 ? [] : ['Its skills:']),
    ...skills.map((skill) => `- ${skill.name}: ${skill.description}`),
  ].join('\n');
  return text.slice(0, maxDescriptionChars);
}
