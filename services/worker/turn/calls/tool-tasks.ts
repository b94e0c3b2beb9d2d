/**
 * The tasks with which MCP servers answer the calls of tools. A wait for one is like that of a call whose message is sent: its
 * record names the task from the start, and an ended task of ours has it canceled (abandoned.ts).
 */
import type { McpServerDefinition } from '#shared/agent/mcp-servers.ts';
import { FatalError, RetryableError } from '#shared/domain/errors.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import { getAgentPollSeconds, toolTaskPrefix, type AgentWait } from '#shared/domain/wait.ts';
import type { CallResult, CallStatus } from '../../agent/agent.ts';
import type { OpenToolTasks, RemoteToolTask, RemoteToolTasks } from '../../agent/mcp/tasks/open.ts';
import type { FollowTaskOptions } from '../../agent/mcp/tasks/wait.ts';
import type { StepIdentity } from '../record.ts';
import { awaitable, type OpenWait } from '../waits.ts';
import { getAgeSeconds } from './call.ts';
import type { CallParts } from './parts.ts';
import { createResult, fitResult } from './result.ts';

export interface ToolTasksParts extends Pick<CallParts, 'held' | 'waits' | 'store' | 'replace' | 'record'> {
  /** The MCP servers of the definition. */
  mcpServers: Record<string, McpServerDefinition>;
  /** If omitted, tools cannot answer with tasks. */
  openToolTasks: OpenToolTasks | undefined;
}

interface Followed extends FollowTaskOptions {
  identity: StepIdentity;
  open: OpenWait;
  wait: AgentWait;
}

const statuses: Partial<Record<RemoteToolTask['state'], CallStatus>> = {
  TASK_STATE_COMPLETED: 'completed',
  TASK_STATE_CANCELED: 'canceled',
  TASK_STATE_INPUT_REQUIRED: 'input_required',
};

export class ToolTasks {
  readonly #parts: ToolTasksParts;

  constructor(parts: ToolTasksParts) {
    this.#parts = parts;
  }

  /** @throws {FatalError} if the record of the turn has another step here */
  follow(name: string, options: FollowTaskOptions): PromiseLike<CallResult> {
    const { server, taskId, timeoutSeconds, pollSeconds = 0 } = options;
    const { waits } = this.#parts;
    const { identity, earlier } = waits.reach(name, 'agent');
    if (earlier?.finished === true) return awaitable(async () => earlier.output as CallResult);
    const wait: AgentWait = { kind: 'agent', agent: `${toolTaskPrefix}${server}`, task: taskId };
    const dueInSeconds = Math.min(timeoutSeconds, Math.max(pollSeconds, getAgentPollSeconds(0, false)));
    const opened = waits.open(identity, earlier, { wait, dueInSeconds, token: null }, { timeoutSeconds });
    // Reported when the wait is awaited.
    opened.catch(() => undefined);
    return awaitable(async () => this.#untilEnded({ ...options, identity, wait, open: await opened }));
  }

  async #untilEnded(followed: Followed): Promise<CallResult> {
    const { waits } = this.#parts;
    for (;;) {
      await waits.untilDue(followed.open);
      const result = await waits.run(() => this.#poll(followed));
      if (result !== undefined) return result;
    }
  }

  /** Returns undefined while the server works. */
  async #poll(followed: Followed): Promise<CallResult | undefined> {
    const { held, waits, store } = this.#parts;
    const { server, taskId, timeoutSeconds, identity, open, wait } = followed;
    const ageSeconds = getAgeSeconds(open);
    const isOver = ageSeconds >= timeoutSeconds;
    let task: RemoteToolTask | undefined;
    try {
      task = await (await this.#openTasks(server)).get(taskId, held.signal);
    } catch (error) {
      held.signal.throwIfAborted();
      if (isOver && error instanceof RetryableError) return this.#timeOut(followed);
      throw error;
    }
    if (task === undefined) {
      const text = `The MCP server "${server}" no longer has the task ${taskId}`;
      return this.#finish(followed, createResult('failed', text, { taskId }));
    }
    const state = getStateClass(task.state);
    if (state !== stateClass.runnable) {
      // If our task ends before its caller has answered, the other one is canceled.
      if (state === stateClass.interrupted) {
        await this.#parts.replace(identity, { wait: { ...wait, asks: true }, dueInSeconds: 0 });
        followed.wait = { ...wait, asks: true };
      }
      const { message, artifacts } = task;
      return this.#finish(
        followed,
        createResult(statuses[task.state] ?? 'failed', message, { taskId, artifacts }),
      );
    }
    if (isOver) return this.#timeOut(followed);
    const pause = Math.max(task.pollSeconds ?? 0, getAgentPollSeconds(ageSeconds, false));
    const dueInSeconds = Math.max(0, Math.min(pause, timeoutSeconds - ageSeconds));
    await store({ ...identity, output: null, wait: { wait, dueInSeconds, token: null } });
    waits.reopen(open, dueInSeconds * 1000);
    return undefined;
  }

  async #timeOut(followed: Followed): Promise<CallResult> {
    const { held } = this.#parts;
    const { server, taskId, timeoutSeconds } = followed;
    try {
      // Nothing reads its result anymore.
      await (await this.#openTasks(server)).cancel(taskId, held.signal);
    } catch {
      held.signal.throwIfAborted();
    }
    const text = `It was waited for ${timeoutSeconds} s`;
    return this.#finish(followed, createResult('timed_out', text, { taskId }));
  }

  async #finish({ identity, open, wait }: Followed, result: CallResult): Promise<CallResult> {
    const { waits, record } = this.#parts;
    const fitting = fitResult(result);
    await record({ ...identity, output: null, wait: { wait, dueInSeconds: 0, token: null } }, fitting);
    waits.close(open);
    return fitting;
  }

  async #openTasks(server: string): Promise<RemoteToolTasks> {
    const { mcpServers, openToolTasks } = this.#parts;
    const definition = mcpServers[server];
    if (definition === undefined || openToolTasks === undefined) {
      throw new FatalError(
        `The definition has no MCP server "${server}" whose tasks this worker can wait for.`,
      );
    }
    return openToolTasks(server, definition);
  }
}
