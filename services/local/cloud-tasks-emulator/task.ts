/** Parses the tasks of CreateTask requests and formats tasks for responses. */
import { randomInt } from 'node:crypto';
import type { status } from '@grpc/grpc-js';
import { fromMillis, toMillis } from '../emulator/duration.ts';
import { checkCloudTasksName } from './names.ts';
import { invalid, unimplemented } from '../emulator/status.ts';
import { HttpMethod, WireTaskView, type WireTask } from './wire.ts';

export interface CloudTask {
  readonly name: string;
  readonly named: boolean;
  readonly request: HttpTarget;
  readonly dispatchDeadlineMs: number;
  readonly createdAt: number;
  scheduledAt: number;
  /** Incremented each time the task is scheduled. Heap entries with an older value are void. */
  schedule: number;
  dispatches: number;
  responses: number;
  /** The number of responses other than 5xx, sent as X-CloudTasks-TaskExecutionCount. */
  executions: number;
  firstDispatchAt: number | undefined;
  lastAttempt: DispatchAttempt | undefined;
  removed: boolean;
}

export interface HttpTarget {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  readonly oidc: { readonly email: string; readonly audience: string } | undefined;
}

export interface DispatchAttempt {
  readonly scheduledAt: number;
  readonly dispatchedAt: number;
  respondedAt?: number;
  code?: status;
  message?: string;
}

const day = 86_400_000;
const maxTaskBytes = 1024 * 1024;

/** @throws {StatusError} INVALID_ARGUMENT for a task that Cloud Tasks refuses */
export function parseCloudTask(wire: WireTask | null | undefined, queue: string, now: number): CloudTask {
  if (wire === null || wire === undefined) throw invalid('Task must be set.');
  const named = wire.name !== undefined && wire.name !== null && wire.name !== '';
  const name = named
    ? checkCloudTasksName('task', wire.name)
    : `${queue}/tasks/${randomInt(2 ** 47)}${randomInt(2 ** 20)}`;
  if (!name.startsWith(`${queue}/tasks/`)) {
    throw invalid(
      `The queue name from request ('${queue}') must be the same as in the task name ('${name}').`,
    );
  }
  const scheduledAt = wire.scheduleTime ? toMillis(wire.scheduleTime) : now;
  if (scheduledAt > now + 30 * day) {
    throw invalid('Task.scheduleTime is too far in the future: at most 720h (30 days) are allowed.');
  }
  const deadline = wire.dispatchDeadline ? toMillis(wire.dispatchDeadline) : 600_000;
  if (deadline < 15_000 || deadline > 1_800_000) {
    throw invalid('Task.dispatchDeadline must be between [15s, 30m].');
  }
  return {
    name,
    named,
    request: parseTarget(wire),
    dispatchDeadlineMs: deadline,
    createdAt: now,
    scheduledAt: Math.max(scheduledAt, now),
    schedule: 0,
    dispatches: 0,
    responses: 0,
    executions: 0,
    firstDispatchAt: undefined,
    lastAttempt: undefined,
    removed: false,
  };
}

function parseTarget({ httpRequest }: WireTask): HttpTarget {
  if (httpRequest === null || httpRequest === undefined) {
    throw invalid('Task.message_type must be an HTTP request: this emulator does not support App Engine.');
  }
  const { url, headers, body, oidcToken, oauthToken } = httpRequest;
  if (typeof url !== 'string' || !/^https?:\/\//.test(url) || !URL.canParse(url) || url.length > 2083) {
    throw invalid(
      'HttpRequest.url must start with "http://" or "https://" and have at most 2083 characters.',
    );
  }
  const method = HttpMethod[Number(httpRequest.httpMethod ?? 0) || HttpMethod.POST] ?? 'POST';
  const hasBody = body !== null && body !== undefined && body.length > 0;
  if (hasBody && !['POST', 'PUT', 'PATCH'].includes(method)) {
    throw invalid(`HTTP body cannot be set for the method ${method}.`);
  }
  const headerBytes = Object.entries(headers ?? {}).reduce(
    (sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value),
    0,
  );
  if (headerBytes >= 80 * 1024) throw invalid('The size of the headers must be less than 80KB.');
  if (headerBytes + (body?.length ?? 0) + url.length > maxTaskBytes)
    throw invalid('The task must not be larger than 1 MB.');
  if (oauthToken) throw unimplemented('OAuth tokens (use an OIDC token instead)');
  if (oidcToken && !oidcToken.serviceAccountEmail) {
    throw invalid('OidcToken.service_account_email must be set.');
  }
  return {
    url,
    method,
    headers: headers ?? {},
    body: hasBody ? Buffer.from(body as Uint8Array) : undefined,
    oidc: oidcToken
      ? { email: oidcToken.serviceAccountEmail ?? '', audience: oidcToken.audience || url }
      : undefined,
  };
}

/** @param view a `Task.View`. Only FULL includes the body */
export function toWireTask(task: CloudTask, view: unknown): WireTask {
  const full = view === WireTaskView.FULL || view === 'FULL';
  const { request, lastAttempt: last } = task;
  return {
    name: task.name,
    httpRequest: {
      url: request.url,
      httpMethod: HttpMethod[request.method as keyof typeof HttpMethod],
      headers: request.headers,
      ...(full && request.body !== undefined ? { body: request.body } : {}),
      ...(request.oidc !== undefined
        ? { oidcToken: { serviceAccountEmail: request.oidc.email, audience: request.oidc.audience } }
        : {}),
    },
    scheduleTime: fromMillis(task.scheduledAt),
    createTime: { seconds: Math.floor(task.createdAt / 1000) },
    dispatchDeadline: fromMillis(task.dispatchDeadlineMs),
    dispatchCount: task.dispatches,
    responseCount: task.responses,
    ...(task.firstDispatchAt === undefined
      ? {}
      : { firstAttempt: { dispatchTime: fromMillis(task.firstDispatchAt) } }),
    ...(last === undefined
      ? {}
      : {
          lastAttempt: {
            scheduleTime: fromMillis(last.scheduledAt),
            dispatchTime: fromMillis(last.dispatchedAt),
            ...(last.respondedAt === undefined
              ? {}
              : {
                  responseTime: fromMillis(last.respondedAt),
                  responseStatus: { code: last.code ?? 0, message: last.message ?? '' },
                }),
          },
        }),
    view: full ? WireTaskView.FULL : WireTaskView.BASIC,
  };
}
