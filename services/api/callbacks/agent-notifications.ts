/**
 * Takes the notifications of other agents about the tasks that calls wait for (docs/develop/remote-agents.md):
 * `POST /callbacks/agents/{token}`. A notification is believed if the token names a call, and its headers have the secret
 * that the other agent got with the address. It only makes a worker read the task of the other agent sooner: nothing that
 * it says about that task is used.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import { readCallWait, reportCall } from '#shared/db/calls/report.ts';
import type { Json } from '#shared/domain/message.ts';
import { agentNotificationsPath } from '#shared/domain/wait.ts';
import { HttpRequestError } from '../handler/errors.ts';
import { readText } from '../http/body.ts';
import { plainFailure, sendFailure } from '../http/failure.ts';
import type { CallbackRoutesParts } from './routes.ts';

/** A task may be sent with its artifacts. Larger ones are found by the poll. */
const maxBodyBytes = 2 * 1024 * 1024;
/** The longest id of a task that is taken. */
const maxIdChars = 512;

export function registerAgentNotifications(
  app: FastifyInstance,
  parts: Omit<CallbackRoutesParts, 'recorder'>,
): void {
  const { db, outbox, wakeupGraceSeconds, failures, log } = parts;
  const url = `${agentNotificationsPath}/:token`;

  app.post<{ Params: { token: string } }>(url, { bodyLimit: maxBodyBytes }, async (request, reply) => {
    const { token } = request.params;
    void reply.header('content-type', 'application/json').header('cache-control', 'no-store');
    try {
      failures.check(request.headers, () => request.ip);
      const call = await readCallWait(db, token);
      if (call?.wait.secret === undefined) {
        failures.recordFailure(request.ip, 'unknown agent notification');
        throw new HttpRequestError(404, 'No call of an agent waits for this notification');
      }
      if (!hasSecret(request.headers, call.wait.secret)) {
        failures.recordFailure(request.ip, 'agent notification');
        throw new HttpRequestError(
          401,
          'The notification must have its token in X-A2A-Notification-Token, or as Bearer in Authorization',
        );
      }
      const { task, settles } = readNotification(readText(request));
      // A gateway shows all that its task brings.
      const wakes = settles || call.wait.shown !== undefined;
      if (call.isOpen && (wakes || call.wait.task === undefined)) {
        outbox.publish(await reportCall(db, { wakeupGraceSeconds }, { token, task, wakes }));
      }
      return await reply.send(accepted);
    } catch (error) {
      return sendFailure(reply, log, error, plainFailure);
    }
  });
}

const accepted = JSON.stringify({ status: 'received' });

/** A2A 1.0, section 4.3.3: agents send the token of a config, or the credentials of its authentication. */
function hasSecret(headers: IncomingHttpHeaders, secret: string): boolean {
  const bearer = /^bearer (.*)$/i.exec(headers.authorization ?? '')?.[1];
  return [headers['x-a2a-notification-token'], bearer].some(
    (given) => typeof given === 'string' && timingSafeEqual(hash(given), hash(secret)),
  );
}

function hash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** In A2A 1.0 and 0.3. */
const workingStates = new Set(['TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING', 'submitted', 'working']);

interface NamedTask {
  id?: Json;
  taskId?: Json;
  status?: { state?: Json } | null;
}

/**
 * Reads a StreamResponse of A2A 1.0, or a task or an event of A2A 0.3.
 *
 * @returns the task that it names, and whether the task may have ended or may wait for its caller
 * @throws {HttpRequestError} if the body is neither
 */
function readNotification(text: string): { task: string; settles: boolean } {
  let body: Json = null;
  try {
    body = JSON.parse(text) as Json;
  } catch {
    // Reported below.
  }
  const { task, statusUpdate, artifactUpdate, message, ...rest } = (body ?? {}) as Record<string, NamedTask> &
    NamedTask;
  const named: NamedTask = task ?? statusUpdate ?? artifactUpdate ?? message ?? rest;
  const id = named.taskId ?? named.id;
  if (typeof id !== 'string' || id.length > maxIdChars) {
    throw new HttpRequestError(400, 'The body must be a notification of A2A 1.0 or 0.3 about a task');
  }
  const state = named.status?.state;
  return { task: id, settles: typeof state === 'string' && !workingStates.has(state) };
}
