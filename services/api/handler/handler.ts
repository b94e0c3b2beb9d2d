/**
 * The operations of A2A 1.0 (section 3.1) on the database: one handler behind every binding. It runs no agent; it
 * accepts, reads, follows and cancels.
 */
import type {
  AgentCard,
  CancelTaskRequest,
  GetTaskRequest,
  ListTasksRequest,
  Message,
  SendMessageRequest,
  StreamResponse,
  SubscribeToTaskRequest,
  Task,
} from '@a2a-js/sdk';
import {
  RequestMalformedError,
  TaskNotCancelableError,
  TaskNotFoundError,
  UnsupportedOperationError,
} from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import { eventToWire, messageToWire, taskToWire } from '#shared/a2a/translate.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import type { Follower } from '#shared/db/events/follower.ts';
import { readTaskAsOf } from '#shared/db/tasks/as-of.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { markShown, type ReadOptions, type TaskSnapshot } from '#shared/db/tasks/read.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { getStateClass, isTerminal, stateClass } from '#shared/domain/task.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { getCaller, setEntityTag, setStreamedEvent, getSignal } from './caller.ts';
import { checkHistoryLength } from './validate/message.ts';
import { toEntityTag } from '../http/conditional.ts';
import { answered, toClientError } from './errors.ts';
import type { OpenStreams } from '../limits/open-streams.ts';
import { listCallersTasks } from './list-tasks.ts';
import type { PageTokens } from './page-token.ts';
import type { PushConfigs } from './push-configs.ts';
import { numbered, getReplay } from '../extensions/replay.ts';
import { stateEvent, type Send, type Sent } from './send-message.ts';
import { getWebhookOptions } from '../extensions/webhooks/options.ts';
import { streamEvents, untilSettled } from './stream.ts';
import { within } from './with-timeout.ts';

/** How a stream begins: the task as of event `after`, of `known` events; `ended` where nothing can follow. */
interface Begun {
  task: Task;
  after: number;
  known: number;
  ended: boolean;
}

const maxReplayedBytes = 64 * 1024 * 1024;

export interface HandlerParts {
  db: Db;
  card: AgentCard;
  /** For callers who have authenticated; undefined: there is none. */
  extendedCard: AgentCard | undefined;
  send: Send;
  follower: Follower;
  outbox: OutboxPublisher;
  pushConfigs: PushConfigs;
  pageTokens: PageTokens;
  streams: OpenStreams;
  sendWaitMs: number;
  wakeupGraceSeconds: number;
  log: Logger;
}

export function createRequestHandler(parts: HandlerParts): A2ARequestHandler {
  const { db, card, log, pushConfigs } = parts;
  const read = createCachedReader(db);

  async function find(id: string, context: ServerCallContext, options: ReadOptions): Promise<TaskSnapshot> {
    const found = isUuid(id) ? await read(getCaller(context), id, options) : undefined;
    if (found === undefined) throw new TaskNotFoundError(`task ${id} was not found`);
    return found;
  }

  async function sendMessage(
    request: SendMessageRequest,
    context: ServerCallContext,
  ): Promise<Message | Task> {
    const immediately = request.configuration?.returnImmediately ?? false;
    const historyLength = request.configuration?.historyLength;
    const sent = await parts.send(request, context, immediately);
    if (immediately && sent.created !== undefined) {
      const { history } = sent.created;
      return taskToWire({ ...sent.created, history: historyLength === 0 ? [] : history });
    }
    if (!immediately) await waitFor(sent, context);
    const snapshot = await find(sent.taskId, context, { historyLength, includeHidden: true });
    if (snapshot.direct && !snapshot.shown && snapshot.task.status.message !== undefined) {
      return messageToWire(snapshot.task.status.message);
    }
    // At its end a task that is not hidden stays so.
    if (!snapshot.shown && !isTerminal(snapshot.task.status.state)) await markShown(db, sent.taskId);
    return taskToWire(snapshot.task);
  }

  /** Until the task is settled, for `sendWaitMs` at most: then the caller gets the task as it stands. */
  async function waitFor(sent: Sent, context: ServerCallContext): Promise<void> {
    let after = 1;
    if (sent.created === undefined) {
      const now = await find(sent.taskId, context, {
        historyLength: 0,
        includeArtifacts: false,
        includeHidden: true,
      });
      if (getStateClass(now.task.status.state) !== stateClass.runnable) return;
      after = now.lastEvent;
    }
    await within(parts.sendWaitMs, getSignal(context), (signal) =>
      untilSettled(parts.follower, sent.taskId, after, signal),
    );
  }

  async function* stream(
    begin: () => Promise<Begun>,
    context: ServerCallContext,
  ): AsyncGenerator<StreamResponse, void, undefined> {
    let close = (): void => undefined;
    try {
      close = parts.streams.open(context.user);
      const { task, after, known, ended } = await begin();
      const replay = getReplay(context) !== undefined;
      setStreamedEvent(context, after);
      const first: StreamResponse = { payload: { $case: 'task', value: task } };
      yield replay ? numbered(first, after) : first;
      if (ended) return;
      for await (const event of streamEvents(parts.follower, task.id, after, known, getSignal(context))) {
        setStreamedEvent(context, event.seq);
        const response = eventToWire(event.payload);
        yield replay ? numbered(response, event.seq) : response;
      }
    } catch (error) {
      throw toClientError(log, error);
    } finally {
      close();
    }
  }

  return {
    getAgentCard: () => Promise.resolve(card),

    // Section 3.3.4: what the public card does not announce is unsupported, not merely unconfigured.
    getAuthenticatedExtendedAgentCard: (_request, context) =>
      answered(log, async () => {
        if (parts.extendedCard === undefined || context.user?.isAuthenticated !== true) {
          throw new UnsupportedOperationError('this agent has no extended card');
        }
        return parts.extendedCard;
      }),

    sendMessage: (request, context) => answered(log, () => sendMessage(request, context)),

    sendMessageStream: (request, context) =>
      stream(async () => {
        const sent = await parts.send(request, context, true);
        if (sent.created !== undefined) {
          return { task: taskToWire(sent.created), after: 1, known: 1, ended: false };
        }
        const { task, lastEvent } = await find(sent.taskId, context, {
          historyLength: request.configuration?.historyLength,
          includeHidden: true,
        });
        return {
          task: taskToWire(task),
          after: lastEvent,
          known: lastEvent,
          ended: isTerminal(task.status.state),
        };
      }, context),

    resubscribe: (request: SubscribeToTaskRequest, context) =>
      stream(async () => {
        const replay = getReplay(context);
        const { task, lastEvent } = await find(request.id, context, {});
        const ended = isTerminal(task.status.state);
        if (replay === undefined && ended) {
          throw new UnsupportedOperationError(`task ${request.id} is at its end: read it with GetTask`);
        }
        const after = Math.max(1, replay?.after ?? lastEvent);
        if (after > lastEvent) {
          throw new RequestMalformedError(
            `Last-Event-ID is ${after}, and task ${request.id} has ${lastEvent} events`,
          );
        }
        const begun =
          after === lastEvent ? task : await readTaskAsOf(db, request.id, after, maxReplayedBytes);
        if (begun?.artifacts === undefined) throw new TaskNotFoundError(`task ${request.id} was not found`);
        const history = replay?.after === undefined ? task.history : [];
        const first = taskToWire({ ...begun, artifacts: begun.artifacts, history });
        return { task: first, after, known: lastEvent, ended: ended && after === lastEvent };
      }, context),

    getTask: (request: GetTaskRequest, context) =>
      answered(log, async () => {
        checkHistoryLength(request.historyLength);
        const found = await find(request.id, context, { historyLength: request.historyLength });
        setEntityTag(context, toEntityTag(found.task.id, found));
        return taskToWire(found.task);
      }),

    listTasks: (request: ListTasksRequest, context) =>
      answered(log, () => listCallersTasks(db, parts.pageTokens, getCaller(context), request)),

    cancelTask: (request: CancelTaskRequest, context) =>
      answered(log, async () => {
        const { task } = await find(request.id, context, { historyLength: 0, includeArtifacts: false });
        const statusAt = new Date().toISOString();
        const wakeups = await cancelTask(db, parts, {
          taskId: task.id,
          event: JSON.stringify(stateEvent(task.id, task.contextId, 'TASK_STATE_CANCELED', statusAt)),
          statusAt,
        });
        if (wakeups === undefined) throw new TaskNotCancelableError(`task ${task.id} is at its end already`);
        parts.outbox.publish(wakeups);
        return taskToWire((await find(task.id, context, {})).task);
      }),

    createTaskPushNotificationConfig: (request, context) =>
      answered(log, () =>
        pushConfigs.create(request, getCaller(context), context.requestedVersion, getWebhookOptions(context)),
      ),
    getTaskPushNotificationConfig: (request, context) =>
      answered(log, () => pushConfigs.get(request, getCaller(context))),
    listTaskPushNotificationConfigs: (request, context) =>
      answered(log, () => pushConfigs.list(request, getCaller(context))),
    deleteTaskPushNotificationConfig: (request, context) =>
      answered(log, () => pushConfigs.remove(request, getCaller(context))),
  };
}
