/**
 * A stand-in for Cloud Tasks v2 that the real client library talks to: queues and HTTP tasks, in memory, by the rules of
 * the service (names, bounds, deduplication, retries, rate limits).
 */
import {
  Server,
  ServerCredentials,
  status,
  type handleUnaryCall,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { checkName, queueOfTask } from './names.ts';
import { TokenIssuer } from './oidc.ts';
import { TaskQueue } from './queue.ts';
import { readSettings } from './settings.ts';
import { alreadyExists, invalid, notFound, StatusError } from './status.ts';
import { Targets } from './target.ts';
import { readTask, writeTask, type Task } from './task.ts';
import { cloudTasksService, type WireQueue } from './wire.ts';

export interface EmulatorOptions {
  /** 0: a free one. */
  port: number;
  /** How long the name of a task stays used after it was executed or deleted. Cloud Tasks: about an hour. */
  dedupMs?: number;
  /** The most that a queue may ask for. Cloud Tasks: 500. */
  maxDispatchesPerSecond?: number;
  onGivenUp?: (taskName: string, attempts: number, lastError: string) => void;
}

export interface CloudTasksEmulator {
  readonly port: number;
  /** The keys that verify the identity tokens of its requests. */
  jwks: TokenIssuer['jwks'];
  close(): Promise<void>;
}

const hour = 3_600_000;

export async function startCloudTasksEmulator(options: EmulatorOptions): Promise<CloudTasksEmulator> {
  const tokens = new TokenIssuer();
  const targets = new Targets(tokens);
  const queues = new Map<string, TaskQueue>();
  const server = new Server({ 'grpc.max_receive_message_length': 4 * 1024 * 1024 });
  server.addService(cloudTasksService, methods(queues, targets, options));
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(`127.0.0.1:${options.port}`, ServerCredentials.createInsecure(), (error, port) => {
    if (error === null) resolve(port);
    else reject(error);
  });
  return {
    port: await promise,
    jwks: () => tokens.jwks(),
    close: async () => {
      for (const queue of queues.values()) queue.close();
      server.forceShutdown();
      await targets.close();
    },
  };
}

function methods(
  queues: Map<string, TaskQueue>,
  targets: Targets,
  { dedupMs = hour, maxDispatchesPerSecond: maxRate = 500, onGivenUp }: EmulatorOptions,
): UntypedServiceImplementation {
  const givenUp = (task: Task): void => onGivenUp?.(task.name, task.dispatches, task.last?.message ?? '');
  const create = (name: string, wire: WireQueue): TaskQueue => {
    const queue = new TaskQueue(name, readSettings(wire, maxRate), targets, dedupMs, { givenUp });
    queues.set(name, queue);
    return queue;
  };
  const find = (name: string | null | undefined): TaskQueue => {
    const queue = queues.get(checkName('queue', name));
    if (queue === undefined) throw notFound('Queue does not exist.');
    return queue;
  };
  const findOfTask = (name: string | null | undefined): TaskQueue =>
    find(queueOfTask(checkName('task', name)));

  return {
    CreateQueue: unary(cloudTasksService.CreateQueue, ({ parent, queue }) => {
      const name = checkName('queue', queue?.name);
      if (!name.startsWith(`${checkName('location', parent)}/queues/`)) {
        throw invalid(`The queue ${name} is not of the location ${parent ?? ''}.`);
      }
      if (queues.has(name)) throw alreadyExists('Queue already exists');
      return create(name, queue ?? {}).write();
    }),
    GetQueue: unary(cloudTasksService.GetQueue, ({ name }) => find(name).write()),
    ListQueues: unary(cloudTasksService.ListQueues, ({ parent, filter, pageSize, pageToken }) => {
      const prefix = `${checkName('location', parent)}/queues/`;
      if (filter) throw new StatusError(status.UNIMPLEMENTED, 'This stand-in does not filter queues.');
      const names = [...queues.keys()].filter((name) => name.startsWith(prefix));
      const page = pageOf(names, pageSize, pageToken, 9800);
      return { queues: page.names.map((name) => find(name).write()), nextPageToken: page.next };
    }),
    UpdateQueue: unary(cloudTasksService.UpdateQueue, ({ queue, updateMask }) => {
      const name = checkName('queue', queue?.name);
      const found = queues.get(name);
      if (found === undefined) return create(name, queue ?? {}).write();
      const paths = updateMask?.paths ?? [];
      const base = paths.length === 0 ? undefined : found.settings;
      found.update(readSettings(masked(queue ?? {}, paths), maxRate, base));
      return found.write();
    }),
    DeleteQueue: unary(cloudTasksService.DeleteQueue, ({ name }) => {
      const queue = find(name);
      queue.close();
      queues.delete(queue.name);
      return {};
    }),
    PurgeQueue: unary(cloudTasksService.PurgeQueue, ({ name }) =>
      changed(find(name), (queue) => queue.purge()),
    ),
    PauseQueue: unary(cloudTasksService.PauseQueue, ({ name }) =>
      changed(find(name), (queue) => queue.pause()),
    ),
    ResumeQueue: unary(cloudTasksService.ResumeQueue, ({ name }) =>
      changed(find(name), (queue) => queue.resume()),
    ),
    CreateTask: unary(cloudTasksService.CreateTask, ({ parent, task, responseView }) => {
      const queue = find(parent);
      const made = readTask(task, queue.name, Date.now());
      queue.add(made);
      return writeTask(made, responseView);
    }),
    GetTask: unary(cloudTasksService.GetTask, ({ name, responseView }) =>
      writeTask(findOfTask(name).get(name ?? ''), responseView),
    ),
    ListTasks: unary(cloudTasksService.ListTasks, ({ parent, responseView, pageSize, pageToken }) => {
      const queue = find(parent);
      const page = pageOf([...queue.tasks.keys()], pageSize, pageToken, 1000);
      return {
        tasks: page.names.map((name) => writeTask(queue.get(name), responseView)),
        nextPageToken: page.next,
      };
    }),
    DeleteTask: unary(cloudTasksService.DeleteTask, ({ name }) => {
      findOfTask(name).delete(name ?? '');
      return {};
    }),
    RunTask: unary(cloudTasksService.RunTask, ({ name, responseView }) =>
      writeTask(findOfTask(name).run(name ?? ''), responseView),
    ),
  };
}

interface Unary<Request, Reply> {
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(reply: Reply): Buffer;
}

function unary<Request, Reply>(
  _method: Unary<Request, Reply>,
  answer: (request: Request) => Reply,
): handleUnaryCall<Request, Reply> {
  return (call, callback) => {
    try {
      callback(null, answer(call.request));
    } catch (error) {
      const code = error instanceof StatusError ? error.code : status.INTERNAL;
      const details = error instanceof Error ? error.message : String(error);
      callback({ code, details });
    }
  };
}

function changed(queue: TaskQueue, change: (queue: TaskQueue) => void): WireQueue {
  change(queue);
  return queue.write();
}

/** Keeps the settings that a field mask names; an empty mask names all. */
function masked(queue: WireQueue, paths: readonly string[]): WireQueue {
  if (paths.length === 0) return queue;
  const kept: Record<string, Record<string, unknown>> = {};
  for (const path of paths) {
    const [group = '', field] = path.split('.').map(camelCase);
    if (group !== 'rateLimits' && group !== 'retryConfig')
      throw invalid(`The field ${path} cannot be updated.`);
    const values = { ...queue[group] } as Record<string, unknown>;
    kept[group] = field === undefined ? values : { ...kept[group], [field]: values[field] };
  }
  return kept;
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** A page in the order of names; the token is the last name of the page before. */
function pageOf(
  names: string[],
  pageSize: number | null | undefined,
  pageToken: string | null | undefined,
  most: number,
): { names: string[]; next: string } {
  const size = Math.min(pageSize || most, most);
  const rest = names.sort().filter((name) => name > (pageToken ?? ''));
  const page = rest.slice(0, size);
  return { names: page, next: rest.length > size ? (page.at(-1) ?? '') : '' };
}
