/**
 * An emulator of Cloud Tasks v2 for the real client library. It stores queues and HTTP tasks in memory and
 * follows the rules of the service: names, bounds, deduplication, retries and rate limits.
 */
import { Server, type handleUnaryCall, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { bindServer, getPage, createUnaryHandler } from '../emulator/grpc.ts';
import { checkCloudTasksName, getQueueName } from './names.ts';
import { TokenIssuer } from '../emulator/oidc.ts';
import { TaskQueue } from './queue.ts';
import { parseQueueSettings } from './queue-settings.ts';
import { alreadyExists, invalid, notFound, unimplemented } from '../emulator/status.ts';
import { TargetClient } from './target-client.ts';
import { parseCloudTask, toWireTask, type CloudTask } from './task.ts';
import { cloudTasksService, type WireQueue } from './wire.ts';

export interface CloudTasksEmulatorOptions {
  /** 0: any free port. */
  port: number;
  /**
   * How long a task name stays reserved after the task was executed or deleted. Default: an hour, like Cloud
   * Tasks.
   */
  dedupMs?: number;
  /** The highest rate that a queue may set. Default: 500, like Cloud Tasks. */
  maxDispatchesPerSecond?: number;
  /** Called when a task has used up its attempts. */
  onAbandoned?: (taskName: string, attempts: number, lastError: string) => void;
}

export interface CloudTasksEmulator {
  readonly port: number;
  /** Returns the public keys of the identity tokens that dispatches carry. */
  jwks: TokenIssuer['jwks'];
  close(): Promise<void>;
}

const hour = 3_600_000;

export async function startCloudTasksEmulator(
  options: CloudTasksEmulatorOptions,
): Promise<CloudTasksEmulator> {
  const tokens = new TokenIssuer('cloud-tasks-emulator');
  const targets = new TargetClient(tokens);
  const queues = new Map<string, TaskQueue>();
  const server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
  server.addService(cloudTasksService, createHandlers(queues, targets, options));
  return {
    port: await bindServer(server, options.port),
    jwks: () => tokens.jwks(),
    close: async () => {
      for (const queue of queues.values()) queue.close();
      server.forceShutdown();
      await targets.close();
    },
  };
}

function createHandlers(
  queues: Map<string, TaskQueue>,
  targets: TargetClient,
  { dedupMs = hour, maxDispatchesPerSecond: maxRate = 500, onAbandoned }: CloudTasksEmulatorOptions,
): UntypedServiceImplementation {
  const abandoned = (task: CloudTask): void =>
    onAbandoned?.(task.name, task.dispatches, task.lastAttempt?.message ?? '');
  const create = (name: string, wire: WireQueue): TaskQueue => {
    const queue = new TaskQueue(name, parseQueueSettings(wire, maxRate), targets, dedupMs, { abandoned });
    queues.set(name, queue);
    return queue;
  };
  const find = (name: string | null | undefined): TaskQueue => {
    const queue = queues.get(checkCloudTasksName('queue', name));
    if (queue === undefined) throw notFound('Queue does not exist.');
    return queue;
  };
  const findQueueByTask = (name: string | null | undefined): TaskQueue =>
    find(getQueueName(checkCloudTasksName('task', name)));

  return {
    CreateQueue: createHandler(cloudTasksService.CreateQueue, ({ parent, queue }) => {
      const name = checkCloudTasksName('queue', queue?.name);
      if (!name.startsWith(`${checkCloudTasksName('location', parent)}/queues/`)) {
        throw invalid(`The queue ${name} is not in the location ${parent ?? ''}.`);
      }
      if (queues.has(name)) throw alreadyExists('Queue already exists');
      return create(name, queue ?? {}).toWire();
    }),
    GetQueue: createHandler(cloudTasksService.GetQueue, ({ name }) => find(name).toWire()),
    ListQueues: createHandler(cloudTasksService.ListQueues, ({ parent, filter, pageSize, pageToken }) => {
      const prefix = `${checkCloudTasksName('location', parent)}/queues/`;
      if (filter) throw unimplemented('filters of queues');
      const names = [...queues.keys()].filter((name) => name.startsWith(prefix));
      const page = getPage(names, { pageSize, pageToken }, { fallback: 9800, max: 9800 });
      return { queues: page.names.map((name) => find(name).toWire()), nextPageToken: page.nextPageToken };
    }),
    UpdateQueue: createHandler(cloudTasksService.UpdateQueue, ({ queue, updateMask }) => {
      const name = checkCloudTasksName('queue', queue?.name);
      const found = queues.get(name);
      if (found === undefined) return create(name, queue ?? {}).toWire();
      const paths = updateMask?.paths ?? [];
      const base = paths.length === 0 ? undefined : found.settings;
      found.update(parseQueueSettings(applyMask(queue ?? {}, paths), maxRate, base));
      return found.toWire();
    }),
    DeleteQueue: createHandler(cloudTasksService.DeleteQueue, ({ name }) => {
      const queue = find(name);
      queue.close();
      queues.delete(queue.name);
      return {};
    }),
    PurgeQueue: createHandler(cloudTasksService.PurgeQueue, ({ name }) =>
      applyTo(find(name), (queue) => queue.purge()),
    ),
    PauseQueue: createHandler(cloudTasksService.PauseQueue, ({ name }) =>
      applyTo(find(name), (queue) => queue.pause()),
    ),
    ResumeQueue: createHandler(cloudTasksService.ResumeQueue, ({ name }) =>
      applyTo(find(name), (queue) => queue.resume()),
    ),
    CreateTask: createHandler(cloudTasksService.CreateTask, ({ parent, task, responseView }) => {
      const queue = find(parent);
      const created = parseCloudTask(task, queue.name, Date.now());
      queue.add(created);
      return toWireTask(created, responseView);
    }),
    GetTask: createHandler(cloudTasksService.GetTask, ({ name, responseView }) =>
      toWireTask(findQueueByTask(name).get(name ?? ''), responseView),
    ),
    ListTasks: createHandler(cloudTasksService.ListTasks, ({ parent, responseView, pageSize, pageToken }) => {
      const queue = find(parent);
      const page = getPage(queue.tasks.keys(), { pageSize, pageToken }, { fallback: 1000, max: 1000 });
      return {
        tasks: page.names.map((name) => toWireTask(queue.get(name), responseView)),
        nextPageToken: page.nextPageToken,
      };
    }),
    DeleteTask: createHandler(cloudTasksService.DeleteTask, ({ name }) => {
      findQueueByTask(name).delete(name ?? '');
      return {};
    }),
    RunTask: createHandler(cloudTasksService.RunTask, ({ name, responseView }) =>
      toWireTask(findQueueByTask(name).run(name ?? ''), responseView),
    ),
  };
}

interface MethodTypes<Request, Response> {
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(response: Response): Buffer;
}

/** Creates a unary handler, with the types of its request and response taken from the method definition. */
function createHandler<Request, Response>(
  _definition: MethodTypes<Request, Response>,
  handle: (request: Request) => Response,
): handleUnaryCall<Request, Response> {
  return createUnaryHandler(handle);
}

function applyTo(queue: TaskQueue, change: (queue: TaskQueue) => void): WireQueue {
  change(queue);
  return queue.toWire();
}

/** Returns the settings that the field mask names. An empty mask names all. */
function applyMask(queue: WireQueue, paths: readonly string[]): WireQueue {
  if (paths.length === 0) return queue;
  const named: Record<string, Record<string, unknown>> = {};
  for (const path of paths) {
    const [group = '', field] = path.split('.').map(toCamelCase);
    if (group !== 'rateLimits' && group !== 'retryConfig')
      throw invalid(`The field ${path} cannot be updated: expected a field of rate_limits or retry_config.`);
    const values = { ...queue[group] } as Record<string, unknown>;
    named[group] = field === undefined ? values : { ...named[group], [field]: values[field] };
  }
  return named;
}

function toCamelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}
