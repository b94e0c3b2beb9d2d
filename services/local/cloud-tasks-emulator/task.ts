/** A task: what CreateTask accepts, and what reads show of it. */
import { randomInt } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { checkName } from './names.ts';
import { invalid, StatusError } from './status.ts';
import { fromMillis, HttpMethod, TaskView, toMillis, type WireTask } from './wire.ts';

export interface Task {
  readonly name: string;
  readonly named: boolean;
  readonly request: HttpTarget;
  readonly dispatchDeadlineMs: number;
  readonly createdAt: number;
  scheduledAt: number;
  /** Raised at each scheduling: an older entry in the heap is void. */
  schedule: number;
  dispatches: number;
  responses: number;
  /** Responses other than 5xx, as the header X-CloudTasks-TaskExecutionCount counts them. */
  executions: number;
  firstDispatchAt: number | undefined;
  last: Attempt | undefined;
  gone: boolean;
}

export interface HttpTarget {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  readonly oidc: { readonly email: string; readonly audience: string } | undefined;
}

export interface Attempt {
  readonly scheduledAt: number;
  readonly dispatchedAt: number;
  respondedAt?: number;
  code?: status;
  message?: string;
  httpStatus?: number;
}

const day = 86_400_000;
const maxTaskBytes = 1024 * 1024;

/** @throws {StatusError} INVALID_ARGUMENT for whatever Cloud Tasks refuses */
export function readTask(wire: WireTask | null | undefined, queue: string, now: number): Task {
  if (wire === null || wire === undefined) throw invalid('Task must be set.');
  const named = wire.name !== undefined && wire.name !== null && wire.name !== '';
  const name = named
    ? checkName('task', wire.name)
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
    request: readTarget(wire),
    dispatchDeadlineMs: deadline,
    createdAt: now,
    scheduledAt: Math.max(scheduledAt, now),
    schedule: 0,
    dispatches: 0,
    responses: 0,
    executions: 0,
    firstDispatchAt: undefined,
    last: undefined,
    gone: false,
  };
}

function readTarget({ httpRequest }: WireTask): HttpTarget {
  if (httpRequest === null || httpRequest === undefined) {
    throw invalid('Task.message_type must be an HTTP request: this stand-in knows no App Engine.');
  }
  const { url, headers, body, oidcToken, oauthToken } = httpRequest;
  if (typeof url !== 'string' || !/^https?:\/\//.test(url) || !URL.canParse(url) || url.length > 2083) {
    throw invalid(
      'HttpRequest.url must begin with "http://" or "https://" and have at most 2083 characters.',
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
  if (headerBytes + (body?.length ?? 0) + url.length > maxTaskBytes) throw invalid('Task size too large');
  if (oauthToken) {
    throw new StatusError(status.UNIMPLEMENTED, 'This stand-in makes no OAuth tokens: use an OIDC token.');
  }
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

export function writeTask(task: Task, view: unknown): WireTask {
  const full = view === TaskView.FULL || view === 'FULL';
  const { request, last } = task;
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
    view: full ? TaskView.FULL : TaskView.BASIC,
  };
}
