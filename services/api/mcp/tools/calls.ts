/**
 * Runs the calls of tools. The call of a skill starts a task:
 *
 *   the client knows tasks       answered by the task once it is stored (SEP-2663, or the tasks of 2025-11-25)
 *   it does not                  held until the task ends or asks something, with progress, at most `sendWaitMs`;
 *                                then answered by the result, a request for input, or the way to follow the task up
 */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { CallToolResult, Tool } from '@modelcontextprotocol/server';
import { createHash, randomUUID } from 'node:crypto';
import { textOf, type JsonObject } from '#shared/domain/message.ts';
import type { TaskEvent } from '#shared/domain/events.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { getStateClass, stateClass, toStateName } from '#shared/domain/task.ts';
import {
  AnswerArguments,
  ArgumentsError,
  GetTaskArguments,
  ListTasksArguments,
  readArguments,
  readSkillArguments,
  TaskArguments,
  toDecisionPart,
  toParts,
} from './arguments.ts';
import { errorCode, McpError, withToolErrors } from '../errors.ts';
import { toAnswer, toInputRequests } from '../tasks/input.ts';
import { declaresTasks, idempotencyKeyMeta, showsForms, type ClientCapabilities } from '../protocol.ts';
import { toTaskView, toToolResult } from '../tasks/result.ts';
import { toLegacyTask, toMcpTask } from '../tasks/task.ts';
import type { Tasks } from '../tasks/tasks.ts';
import { followUpToolNames, followUpTools, type FollowUpToolName, type SkillTool } from './list.ts';
import type { OperatorTools } from './operators.ts';

export interface ToolCallsParts {
  tasks: Tasks;
  /** The skills of the agent as they are now. */
  getSkills: () => ReadonlyMap<string, SkillTool>;
  operatorTools: OperatorTools;
  sendWaitMs: number;
  retentionSeconds: number;
}

/** One request of a client. */
export interface McpCall {
  context: ServerCallContext;
  /** `legacy`: 2025-11-25 and earlier. */
  era: 'modern' | 'legacy';
  /** Those that the request declares; undefined in earlier revisions. */
  capabilities: ClientCapabilities | undefined;
  meta: Readonly<Record<string, unknown>>;
  /** Undefined: the client does not want progress. */
  report?: ((progress: number, message: string) => void) | undefined;
  /** The responses to the requests for input of an earlier answer, and its state (MCP, "Multi Round-Trip Requests"). */
  inputResponses?: Readonly<Record<string, unknown>> | undefined;
  requestState?: unknown;
}

interface CallParams {
  name: string;
  arguments?: unknown;
  /** Asks for a task (2025-11-25). */
  task?: unknown;
}

/** Longer keys of clients are hashed: ids of messages are short. */
const maxKeyChars = 128;
const skillKey = 'https://longhaul.dev/ext/mcp/v1';

export class ToolCalls {
  readonly #parts: ToolCallsParts;

  constructor(parts: ToolCallsParts) {
    this.#parts = parts;
  }

  /** Later revisions have no `execution`. */
  list({ era, context }: McpCall): Tool[] {
    const skills = [...this.#parts.getSkills().values()].map(({ tool }) => {
      const { execution: _, ...modern } = tool;
      return era === 'legacy' ? tool : modern;
    });
    return [...skills, ...this.#parts.operatorTools.list(context), ...followUpTools];
  }

  /** @throws {McpError} if there is no such tool */
  async call({ name, arguments: args, task }: CallParams, call: McpCall): Promise<object> {
    const skills = this.#parts.getSkills();
    const skill = skills.get(name);
    if (skill !== undefined) {
      return withToolErrors(() => this.#callSkill(skill, args, { ...call, asTask: task !== undefined }));
    }
    const tool = followUpToolNames.find((known) => known === name);
    if (tool !== undefined) return withToolErrors(() => this.#followUp(tool, args, call));
    const { operatorTools } = this.#parts;
    const forOperators = operatorTools.find(name, call.context);
    if (forOperators !== undefined) return operatorTools.call(forOperators, args, call.context);
    const known = this.list(call).map((each) => each.name);
    throw new McpError(errorCode.invalidParams, `Unknown tool: ${name}. Use one of ${known.join(', ')}`);
  }

  async #callSkill(
    { skill, takesData }: SkillTool,
    args: unknown,
    call: McpCall & { asTask: boolean },
  ): Promise<object> {
    const { tasks, retentionSeconds } = this.#parts;
    if (call.requestState !== undefined) return this.#continueSkill(call);
    const { contextId, ...content } = readSkillArguments(args, takesData);
    const parts = toParts(content);
    const isOneOfMany = this.#parts.getSkills().size > 1;
    if (parts.length === 0 && !isOneOfMany) {
      throw new ArgumentsError('The arguments are empty: set text, files or data.');
    }
    const task = await tasks.send(
      {
        messageId: createMessageId(call),
        // A2A has no field for the skill: an agent with several learns by the message which one is meant.
        parts: isOneOfMany ? [{ text: `Use your skill "${skill.name}".` }, ...parts] : parts,
        ...(contextId !== undefined && { contextId }),
        metadata: { [skillKey]: { skill: skill.id } },
      },
      call.context,
    );
    if (call.era === 'modern' && declaresTasks(call.capabilities)) {
      return { resultType: 'task', ...toMcpTask(task, retentionSeconds) };
    }
    if (call.era === 'legacy' && call.asTask) return { task: toLegacyTask(task, retentionSeconds) };
    return this.#follow(task.id, call);
  }

  /**
   * Answers the task of an earlier answer, and follows it again: a form without a response is asked again. A user who dismisses
   * one is not.
   */
  async #continueSkill(call: McpCall): Promise<object> {
    const { tasks } = this.#parts;
    const { requestState: id, inputResponses = {}, context } = call;
    if (typeof id !== 'string' || !isUuid(id)) {
      throw new McpError(errorCode.invalidParams, 'Invalid requestState: send it as it was received');
    }
    const task = await tasks.get(id, context);
    const answer = toAnswer(task, inputResponses);
    const isDismissed = Object.keys(toInputRequests(task)).some((key) => Object.hasOwn(inputResponses, key));
    if (answer === undefined && isDismissed) return toToolResult(task);
    if (answer !== undefined) await tasks.send({ ...answer, taskId: id }, context);
    return this.#follow(id, call);
  }

  async #follow(id: string, call: McpCall, ms = this.#parts.sendWaitMs): Promise<object> {
    const { tasks } = this.#parts;
    const { context, report } = call;
    await tasks.hold(id, context, ms, report && ((event) => reportEvent(report, event)));
    const task = await tasks.get(id, context);
    const asks = getStateClass(task.status.state) === stateClass.interrupted;
    if (asks && call.era === 'modern' && showsForms(call.capabilities)) {
      return { resultType: 'input_required', inputRequests: toInputRequests(task), requestState: id };
    }
    return toToolResult(task);
  }

  async #followUp(tool: FollowUpToolName, args: unknown, call: McpCall): Promise<CallToolResult> {
    const { tasks } = this.#parts;
    const { context } = call;
    switch (tool) {
      case 'get_task': {
        const { taskId, waitSeconds = 0 } = readArguments(GetTaskArguments, args);
        const { report } = call;
        await tasks.hold(
          taskId,
          context,
          waitSeconds * 1000,
          report && ((event) => reportEvent(report, event)),
        );
        return toToolResult(await tasks.get(taskId, context));
      }
      case 'list_tasks':
        return this.#list(args, context);
      case 'answer_task': {
        const { taskId, decisions, ...content } = readArguments(AnswerArguments, args);
        const parts = toParts(content);
        if (decisions !== undefined) parts.push(toDecisionPart(decisions));
        if (parts.length === 0)
          throw new ArgumentsError('The answer is empty: set text, files, data or decisions.');
        const task = await tasks.send({ messageId: createMessageId(call), parts, taskId }, context);
        return toToolResult(task);
      }
      case 'cancel_task': {
        const { taskId } = readArguments(TaskArguments, args);
        // It has done what it was asked to.
        return { ...toToolResult(await tasks.cancel(taskId, context)), isError: false };
      }
      default:
        return tool satisfies never;
    }
  }

  async #list(args: unknown, context: ServerCallContext): Promise<CallToolResult> {
    const { state, pageSize = 20, ...rest } = readArguments(ListTasksArguments, args);
    const filter: JsonObject = {
      ...rest,
      pageSize,
      ...(state !== undefined && { status: `TASK_STATE_${state.toUpperCase().replaceAll('-', '_')}` }),
    };
    const page = await this.#parts.tasks.list(filter, context);
    const lines = page.tasks.map(
      ({ id, status }) => `${id} ${toStateName(status.state)} ${status.timestamp}`,
    );
    const structuredContent = {
      tasks: page.tasks.map(toTaskView),
      totalSize: page.totalSize,
      ...(page.nextPageToken !== '' && { nextPageToken: page.nextPageToken }),
    };
    const head = `${page.totalSize} ${page.totalSize === 1 ? 'task' : 'tasks'}.`;
    return { content: [{ type: 'text', text: [head, ...lines].join('\n') }], structuredContent };
  }
}

/** Repeats of a call start one task if the client gives them a key. */
function createMessageId({ meta }: McpCall): string {
  const key = meta[idempotencyKeyMeta];
  if (key === undefined) return `mcp:${randomUUID()}`;
  if (typeof key !== 'string' || key === '') {
    throw new ArgumentsError(`_meta["${idempotencyKeyMeta}"] must be a string that is not empty.`);
  }
  const isShort = key.length <= maxKeyChars && /^[\u0021-\u007e]+$/.test(key);
  return `mcp-key:${isShort ? key : createHash('sha256').update(key).digest('base64url')}`;
}

/** The chunks of an artifact are not progress: only its end is reported. */
function reportEvent(report: NonNullable<McpCall['report']>, { seq, payload }: TaskEvent): void {
  if ('artifactUpdate' in payload) {
    const { artifact, lastChunk, append } = payload.artifactUpdate;
    if (lastChunk === false || (append === true && lastChunk !== true)) return;
    report(seq, `Artifact ${artifact.name ?? artifact.artifactId}`);
    return;
  }
  const { state, message } = payload.statusUpdate.status;
  const text = textOf(message?.parts ?? []);
  report(seq, text === '' ? `The task is ${toStateName(state)}` : text);
}
