/** The tasks of a caller: sends, reads and follows them by the operations of A2A, so that both doors do the same. */
import type { ServerCallContext } from '@a2a-js/sdk/server';
import type { Follower } from '#shared/db/events/follower.ts';
import type { ReadTaskVersion } from '#shared/db/tasks/read.ts';
import type { TaskEvent } from '#shared/domain/events.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { JsonObject, Part } from '#shared/domain/message.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import { abortCall, authenticatedCaller, getSignal } from '../../handler/call-state.ts';
import { getCaller } from '../../handler/caller.ts';
import { InternalError } from '../../handler/errors.ts';
import type { Operations } from '../../handler/operations.ts';
import { getNewState, withTimeout } from '../../handler/stream.ts';
import type { OpenStreams } from '../../limits/open-streams.ts';
import type { TaskJson } from '../protocol.ts';

export interface TasksParts {
  operations: Operations;
  readVersion: ReadTaskVersion;
  follower: Follower;
  streams: OpenStreams;
}

export interface NewMessage {
  messageId: string;
  parts: Part[];
  taskId?: string;
  contextId?: string | undefined;
  metadata?: JsonObject;
}

export class Tasks {
  readonly #parts: TasksParts;

  constructor(parts: TasksParts) {
    this.#parts = parts;
  }

  /** Returns the task of the message once it is stored. */
  async send(message: NewMessage, context: ServerCallContext): Promise<TaskJson> {
    const params = {
      message: { ...message, role: 'ROLE_USER' },
      configuration: { returnImmediately: true, historyLength: 0 },
    };
    const { task } = (await this.#call('SendMessage', params, context)) as { task?: TaskJson };
    if (task === undefined) throw new InternalError();
    return task;
  }

  async get(id: string, context: ServerCallContext): Promise<TaskJson> {
    return (await this.#call('GetTask', { id, historyLength: 0 }, context)) as TaskJson;
  }

  async cancel(id: string, context: ServerCallContext): Promise<TaskJson> {
    return (await this.#call('CancelTask', { id }, context)) as TaskJson;
  }

  async list(
    params: JsonObject,
    context: ServerCallContext,
  ): Promise<{ tasks: TaskJson[]; nextPageToken: string; totalSize: number }> {
    return (await this.#call('ListTasks', params, context)) as Awaited<ReturnType<Tasks['list']>>;
  }

  /**
   * Waits until a task ends or asks its user, at most `ms`. Does not wait for a caller with too many open calls.
   *
   * @throws {UnauthenticatedError} if the credential of the caller has ended
   */
  async hold(
    id: string,
    context: ServerCallContext,
    ms: number,
    onEvent: (event: TaskEvent) => void = () => undefined,
  ): Promise<void> {
    const { streams, follower } = this.#parts;
    const caller = authenticatedCaller.get(context);
    const close = ms > 0 ? streams.tryOpen(caller, () => abortCall(context)) : undefined;
    if (close === undefined) return;
    try {
      const version = await this.getVersion(id, context);
      if (version?.stateClass !== stateClass.runnable) return;
      await withTimeout(ms, getSignal(context), async (signal) => {
        for await (const event of follower.follow(id, version.lastEvent, signal)) {
          onEvent(event);
          const state = getNewState(event);
          if (state !== undefined && getStateClass(state) !== stateClass.runnable) return;
        }
      });
    } finally {
      close();
    }
    caller?.credential?.check();
  }

  /** Returns undefined if the caller has no such task. */
  async getVersion(id: string, context: ServerCallContext): ReturnType<ReadTaskVersion> {
    return isUuid(id) ? this.#parts.readVersion(getCaller(context), id) : undefined;
  }

  #call(
    name: 'SendMessage' | 'GetTask' | 'CancelTask' | 'ListTasks',
    params: JsonObject | object,
    context: ServerCallContext,
  ): Promise<unknown> {
    const run = this.#parts.operations.unary[name];
    if (run === undefined) throw new InternalError();
    return run(params as Record<string, unknown>, context);
  }
}
