/**
 * The operations of A2A 1.0 (section 3.1) on the database: one handler behind all bindings. It does not run
 * the agent: it accepts messages, and reads, follows and cancels tasks.
 */
import type {
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
import { forOwner } from '#shared/db/client/owner-connections.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import type { Follower } from '#shared/db/events/follower.ts';
import { readTaskAsOf } from '#shared/db/tasks/as-of.ts';
import { createTaskLister } from '#shared/db/tasks/list.ts';
import { createCachedReader } from '#shared/db/tasks/cached-reader.ts';
import { markShown, type A2aTask, type ReadOptions, type TaskSnapshot } from '#shared/db/tasks/read.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { maxTaskBytes, measure } from '#shared/domain/sizes.ts';
import { getStateClass, isTerminal, stateClass } from '#shared/domain/task.ts';
import type { Logger } from '#shared/runtime/log.ts';
import {
  abortCall,
  authenticatedCaller,
  entityTag,
  getSignal,
  streamCloses,
  streamedEvent,
} from './call-state.ts';
import type { CurrentCards } from '../card/cards.ts';
import { getCaller } from './caller.ts';
import { checkHistoryLength } from './validate/message.ts';
import { toEntityTag } from '../http/conditional.ts';
import { toClientError, withClientErrors } from './errors.ts';
import { minLargeBytes, type LargeWork } from '#shared/runtime/large-work.ts';
import type { OpenStreams } from '../limits/open-streams.ts';
import { listOwnTasks } from './list-tasks.ts';
import { startLargeAnswer } from '../limits/large-answer.ts';
import type { PageTokens } from './page-token.ts';
import type { PushConfigs } from './push-configs.ts';
import { getReplay, withEventNumber } from '../extensions/replay.ts';
import type { Send, SendResult } from './send-message.ts';
import { getWebhookOptions } from '../extensions/webhooks/options.ts';
import { closesStream, streamEvents, waitUntilSettled, withTimeout } from './stream.ts';

/** The start of a stream: the task as of event `after`. `known` is the last event of the task so far. */
interface StreamStart {
  task: Task;
  after: number;
  known: number;
  /** True if no event can follow. */
  ended: boolean;
}

export interface HandlerParts {
  db: Db;
  cards: CurrentCards;
  send: Send;
  follower: Follower;
  outbox: OutboxPublisher;
  pushConfigs: PushConfigs;
  pageTokens: PageTokens;
  /** Counts streams and waiting sends. */
  streams: OpenStreams;
  /** Large answers wait for their turn. */
  largeWork: LargeWork;
  /** Bounds a waiting send; after that it returns the task in its current state. */
  sendWaitMs: number;
  wakeupGraceSeconds: number;
  log: Logger;
}

export function createRequestHandler(parts: HandlerParts): A2ARequestHandler {
  const { db, cards, log, pushConfigs, wakeupGraceSeconds } = parts;
  const read = createCachedReader(db);
  const list = createTaskLister(db);
  /** Maps errors like `withClientErrors`, without a closure for each call. */
  const throwClientError = (error: unknown): never => {
    throw toClientError(log, error);
  };

  async function find(id: string, context: ServerCallContext, options: ReadOptions): Promise<TaskSnapshot> {
    if (id === '') throw new RequestMalformedError('id is missing or empty: expected the id of a task');
    const caller = getCaller(context);
    const found = isUuid(id) ? await read(caller, id, options) : undefined;
    if (found === undefined) throw new TaskNotFoundError(`task ${id} was not found`);
    if (found.bytes >= minLargeBytes) await startLargeAnswer(parts.largeWork, context, caller.owner);
    return found;
  }

  async function getTask(request: GetTaskRequest, context: ServerCallContext): Promise<Task> {
    checkHistoryLength(request.historyLength);
    const found = await find(request.id, context, { historyLength: request.historyLength });
    entityTag.set(context, toEntityTag(found.task.id, found));
    return taskToWire(found.task);
  }

  /** Sends, and waits for the result. */
  async function sendInOpenCall(
    request: SendMessageRequest,
    context: ServerCallContext,
  ): Promise<Message | Task> {
    // A caller with too many open calls gets the task so far, as at the end of the wait: its message is accepted
    // once, and a refusal would only make it send again.
    const stopWaiting = parts.streams.tryOpen(authenticatedCaller.get(context), () => abortCall(context));
    try {
      return await sendAndWait(request, context, stopWaiting !== undefined);
    } finally {
      stopWaiting?.();
    }
  }

  async function sendAndWait(
    request: SendMessageRequest,
    context: ServerCallContext,
    wait: boolean,
  ): Promise<Message | Task> {
    const historyLength = request.configuration?.historyLength;
    const result = await parts.send(request, context, !wait);
    if (!wait && result.created !== undefined) return createdToWire(result.created, historyLength);
    if (wait) await waitForResult(result, context);
    authenticatedCaller.get(context)?.credential?.check();
    const snapshot = await find(result.taskId, context, { historyLength, includeHidden: true });
    if (snapshot.direct && !snapshot.shown && snapshot.task.status.message !== undefined) {
      // Its task is hidden: a further message that names it would not find it.
      const { taskId: _hidden, ...message } = snapshot.task.status.message;
      return messageToWire(message);
    }
    // A terminal task keeps its visibility.
    if (!snapshot.shown && !isTerminal(snapshot.task.status.state))
      await markShown(forOwner(db, getCaller(context).owner), result.taskId);
    return taskToWire(snapshot.task);
  }

  /** Waits at most `sendWaitMs` for the task to become terminal or interrupted. */
  async function waitForResult(result: SendResult, context: ServerCallContext): Promise<void> {
    let after = 1;
    if (result.created === undefined) {
      const current = await find(result.taskId, context, {
        historyLength: 0,
        includeArtifacts: false,
        includeHidden: true,
      });
      if (getStateClass(current.task.status.state) !== stateClass.runnable) return;
      after = current.lastEvent;
    }
    await withTimeout(parts.sendWaitMs, getSignal(context), (signal) =>
      waitUntilSettled(parts.follower, result.taskId, after, signal),
    );
  }

  /** Returns a task as of an earlier event; undefined if it was too large to be sent. */
  async function readEarlier(
    id: string,
    owner: string,
    event: number,
  ): Promise<Omit<A2aTask, 'history'> | undefined> {
    const asOf = await readTaskAsOf(forOwner(db, owner), {
      taskId: id,
      owner,
      seq: event,
      maxArtifactBytes: maxTaskBytes,
    });
    if (asOf === undefined) throw new TaskNotFoundError(`task ${id} was not found`);
    const { artifacts, ...rest } = asOf;
    return artifacts && { ...rest, artifacts };
  }

  async function* stream(
    start: () => Promise<StreamStart>,
    context: ServerCallContext,
  ): AsyncGenerator<StreamResponse, void, undefined> {
    let close = (): void => undefined;
    try {
      const caller = authenticatedCaller.get(context);
      close = parts.streams.open(caller, () => abortCall(context));
      const { task, after, known, ended } = await start();
      const replay = getReplay(context) !== undefined;
      streamedEvent.set(context, after);
      const first: StreamResponse = { payload: { $case: 'task', value: task } };
      yield replay ? withEventNumber(first, after) : first;
      if (ended) return;
      for await (const event of streamEvents(parts.follower, task.id, after, known, getSignal(context))) {
        const isLarge = measure(event.payload, minLargeBytes) >= minLargeBytes;
        if (isLarge) await parts.largeWork.start(getCaller(context).owner);
        streamedEvent.set(context, event.seq);
        if (closesStream(event, known)) streamCloses.set(context, true);
        const response = eventToWire(event.payload);
        yield replay ? withEventNumber(response, event.seq) : response;
      }
      if (getSignal(context).aborted) caller?.credential?.check();
    } catch (error) {
      throw toClientError(log, error);
    } finally {
      close();
    }
  }

  return {
    getAgentCard: () => Promise.resolve(cards.card),

    // Section 3.3.4: a capability that the public card does not announce is unsupported, not merely
    // unconfigured.
    getAuthenticatedExtendedAgentCard: (_request, context) =>
      withClientErrors(log, async () => {
        const { extendedCard } = cards;
        if (extendedCard === undefined || context.user?.isAuthenticated !== true) {
          throw new UnsupportedOperationError('this agent has no extended card');
        }
        // Its signatures cover the fields of 1.0, which a card of 0.3 does not have.
        return context.requestedVersion === '0.3' ? { ...extendedCard, signatures: [] } : extendedCard;
      }),

    sendMessage: (request, context) =>
      request.configuration?.returnImmediately === true
        ? sendAndWait(request, context, false).catch(throwClientError)
        : sendInOpenCall(request, context).catch(throwClientError),

    sendMessageStream: (request, context) =>
      stream(async () => {
        const historyLength = request.configuration?.historyLength;
        const result = await parts.send(request, context, true);
        if (result.created !== undefined) {
          const task = createdToWire(result.created, historyLength);
          return { task, after: 1, known: 1, ended: false };
        }
        const { task, lastEvent } = await find(result.taskId, context, {
          historyLength,
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
          throw new UnsupportedOperationError(`task ${request.id} has ended: read it with GetTask`);
        }
        const after = Math.max(1, replay?.after ?? lastEvent);
        if (after > lastEvent) {
          throw new RequestMalformedError(
            `Last-Event-ID is ${after}, but the last event of task ${request.id} is ${lastEvent}`,
          );
        }
        const asOf =
          after === lastEvent ? task : await readEarlier(request.id, getCaller(context).owner, after);
        if (asOf === undefined) return { task: taskToWire(task), after: lastEvent, known: lastEvent, ended };
        const history = replay?.after === undefined ? task.history : [];
        const first = taskToWire({ ...asOf, history });
        return { task: first, after, known: lastEvent, ended: ended && after === lastEvent };
      }, context),

    getTask: (request: GetTaskRequest, context) => getTask(request, context).catch(throwClientError),

    listTasks: (request: ListTasksRequest, context) =>
      withClientErrors(log, () => listOwnTasks(list, parts, context, request)),

    cancelTask: (request: CancelTaskRequest, context) =>
      withClientErrors(log, async () => {
        const { task } = await find(request.id, context, { historyLength: 0, includeArtifacts: false });
        const own = forOwner(db, getCaller(context).owner);
        const wakeups = await cancelTask(own, { wakeupGraceSeconds }, task.id);
        if (wakeups === undefined)
          throw new TaskNotCancelableError(`task ${task.id} has already ended: read it with GetTask`);
        parts.outbox.publish(wakeups);
        return taskToWire((await find(task.id, context, {})).task);
      }),

    createTaskPushNotificationConfig: (request, context) =>
      withClientErrors(log, () =>
        pushConfigs.create(request, getCaller(context), context.requestedVersion, getWebhookOptions(context)),
      ),
    getTaskPushNotificationConfig: (request, context) =>
      withClientErrors(log, () => pushConfigs.get(request, getCaller(context))),
    listTaskPushNotificationConfigs: (request, context) =>
      withClientErrors(log, () => pushConfigs.list(request, getCaller(context))),
    deleteTaskPushNotificationConfig: (request, context) =>
      withClientErrors(log, () => pushConfigs.remove(request, getCaller(context))),
  };
}

/** Converts a new task, whose history is the message that created it. */
function createdToWire(created: A2aTask, historyLength: number | undefined): Task {
  return taskToWire({ ...created, history: historyLength === 0 ? [] : created.history });
}
