/**
 * The tools of the agent: one for each of its skills, and those with which hosts that do not know tasks follow them up.
 * operators.ts has those for operators.
 */
import type { AgentCard } from '@a2a-js/sdk';
import type { Tool } from '@modelcontextprotocol/server';
import type { JsonObject } from '#shared/domain/message.ts';
import { taskStates, toStateName } from '#shared/domain/task.ts';
import { maxWaitSeconds } from '../../http/conditional.ts';
import { operatorToolNames } from './operators.ts';

type Skill = AgentCard['skills'][number];

export interface SkillTool {
  tool: Tool;
  skill: Skill;
  /** The agent takes structured input: arguments of other names are part of it. */
  takesData: boolean;
}

/** MCP 2026-07-28, server/tools, "Tool Names". */
const maxNameChars = 128;

export const followUpToolNames = ['get_task', 'list_tasks', 'answer_task', 'cancel_task'] as const;
export type FollowUpToolName = (typeof followUpToolNames)[number];

/** Returns a function that returns the tools of the skills by name. The card of a gateway may change. */
export function createSkillReader(getCard: () => AgentCard): () => ReadonlyMap<string, SkillTool> {
  let read: { card: AgentCard; skills: ReadonlyMap<string, SkillTool> } | undefined;
  return () => {
    const card = getCard();
    if (read?.card !== card) {
      read = { card, skills: new Map(createSkillTools(card).map((skill) => [skill.tool.name, skill])) };
    }
    return read.skills;
  };
}

function createSkillTools(card: AgentCard): SkillTool[] {
  const taken = new Set<string>([...followUpToolNames, ...operatorToolNames]);
  return card.skills.map((skill) => {
    const name = (taken.has(skill.id) ? `${skill.id}_skill` : skill.id).slice(0, maxNameChars);
    taken.add(name);
    return toSkillTool(name, skill, card);
  });
}

function toSkillTool(name: string, skill: Skill, card: AgentCard): SkillTool {
  const modes = [...card.defaultInputModes, ...skill.inputModes];
  const { properties, isTextOnly, takesData } = describeContent(modes);
  // An agent with several skills learns by the call alone what to do.
  const needsText = isTextOnly && card.skills.length === 1;
  const { examples } = skill;
  const description = [
    skill.description,
    ...(examples.length > 0 ? [`Examples: ${examples.map((text) => `"${text}"`).join(', ')}.`] : []),
    'It may take long. If it does, the answer names a task: follow it up with get_task.',
  ].join('\n');
  const tool = {
    name,
    title: skill.name,
    description,
    inputSchema: {
      type: 'object',
      properties: {
        ...properties,
        contextId: {
          type: 'string',
          description: 'The contextId of an earlier result, to continue that conversation.',
        },
      },
      ...(needsText && { required: ['text'] }),
      additionalProperties: takesData,
    },
    outputSchema: taskViewSchema,
    annotations: { title: skill.name, readOnlyHint: false, openWorldHint: true },
    // MCP 2025-11-25, basic/utilities/tasks.
    execution: { taskSupport: 'optional' },
  };
  return { skill, takesData, tool: tool as Tool };
}

/** The parts of a message that an agent with these input modes accepts. */
function describeContent(modes: readonly string[]): {
  properties: JsonObject;
  isTextOnly: boolean;
  takesData: boolean;
} {
  const accepts = (pattern: RegExp): boolean => modes.some((mode) => pattern.test(mode));
  const takesText = accepts(/^(?:text\/|\*\/)/);
  const takesData = accepts(/^(?:application\/json|application\/\*|\*\/\*)/);
  const takesFiles = modes.some((mode) => !/^(?:text\/plain|application\/json)\b/.test(mode));
  const properties: JsonObject = {
    ...(takesText && { text: { type: 'string', description: 'The request, in plain words.' } }),
    ...(takesFiles && { files: { ...filesSchema, description: `Files: ${modes.join(', ')}.` } }),
    ...(takesData && {
      data: { type: 'object', description: 'Structured input. Other arguments are added to it.' },
    }),
  };
  return { properties, isTextOnly: takesText && !takesData && !takesFiles, takesData };
}

const filesSchema: JsonObject = {
  type: 'array',
  items: {
    type: 'object',
    properties: {
      url: { type: 'string', format: 'uri', description: 'The address of the file. Omit bytes then.' },
      bytes: {
        type: 'string',
        contentEncoding: 'base64',
        description: 'The content in base64. Omit url then.',
      },
      name: { type: 'string' },
      mediaType: { type: 'string' },
    },
    additionalProperties: false,
  },
};

const taskView: JsonObject = {
  taskId: { type: 'string' },
  contextId: { type: 'string' },
  state: { type: 'string', enum: taskStates.map(toStateName) },
  text: { type: 'string', description: 'The answer, the question, the reason or the progress.' },
  data: { type: 'array', description: 'Structured output.' },
  files: { type: 'array', items: { type: 'object' } },
  approvals: { type: 'array', items: { type: 'object' }, description: 'Calls that wait for approval.' },
  nextStep: { type: 'string', description: 'How to follow up a task that has not ended.' },
};

export const taskViewSchema = {
  type: 'object',
  properties: taskView,
  required: ['taskId', 'contextId', 'state'],
} as const;

const taskIdSchema = { type: 'string', description: 'The taskId of an earlier result.' };

export const followUpTools: readonly Tool[] = [
  createTool('get_task', 'Get task', {
    description: 'Returns the state of a task of this agent, and its result once it has ended.',
    properties: {
      taskId: taskIdSchema,
      waitSeconds: {
        type: 'integer',
        minimum: 0,
        maximum: maxWaitSeconds,
        description: 'How long to wait for the task to end or to ask something. Default: 0.',
      },
    },
    required: ['taskId'],
    outputSchema: taskViewSchema,
    annotations: { readOnlyHint: true },
  }),
  createTool('list_tasks', 'List tasks', {
    description: 'Lists your tasks, the latest change first.',
    properties: {
      state: { type: 'string', enum: taskStates.map(toStateName) },
      contextId: { type: 'string' },
      pageSize: { type: 'integer', minimum: 1, maximum: 100 },
      pageToken: { type: 'string', description: 'The nextPageToken of the page before.' },
    },
    outputSchema: {
      type: 'object',
      properties: {
        tasks: { type: 'array', items: taskViewSchema },
        totalSize: { type: 'integer' },
        nextPageToken: { type: 'string' },
      },
      required: ['tasks', 'totalSize'],
    },
    annotations: { readOnlyHint: true },
  }),
  createTool('answer_task', 'Answer task', {
    description:
      'Answers a task that waits for its user (input-required, auth-required), or adds a message to one that runs. Ask your user before you approve a call.',
    properties: {
      taskId: taskIdSchema,
      text: { type: 'string' },
      files: filesSchema,
      data: { type: 'object' },
      decisions: {
        type: 'array',
        description: 'Approves or refuses the calls in approvals.',
        items: {
          type: 'object',
          properties: {
            id: { type: 'string' },
            argumentsHash: { type: 'string' },
            approve: { type: 'boolean' },
            reason: { type: 'string' },
          },
          required: ['id', 'argumentsHash', 'approve'],
          additionalProperties: false,
        },
      },
    },
    required: ['taskId'],
    outputSchema: taskViewSchema,
    annotations: { readOnlyHint: false, destructiveHint: false },
  }),
  createTool('cancel_task', 'Cancel task', {
    description: 'Stops a task. Effects that it has had stay.',
    properties: { taskId: taskIdSchema },
    required: ['taskId'],
    outputSchema: taskViewSchema,
    annotations: { readOnlyHint: false, destructiveHint: true, idempotentHint: true },
  }),
];

interface ToolParts {
  description: string;
  properties: object;
  required?: string[];
  outputSchema: object;
  annotations: Tool['annotations'];
}

function createTool(
  name: FollowUpToolName,
  title: string,
  { description, properties, required = [], outputSchema, annotations }: ToolParts,
): Tool {
  return {
    name,
    title,
    description,
    inputSchema: { type: 'object', properties, required, additionalProperties: false },
    outputSchema,
    annotations: { title, openWorldHint: false, ...annotations },
  } as Tool;
}
