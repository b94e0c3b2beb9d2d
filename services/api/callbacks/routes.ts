/**
 * Accepts the answers to callbacks (docs/develop/waits.md): `POST /callbacks/{token}`. The token is the only credential.
 * Requests with unknown tokens count as failed authentications of their address.
 */
import { isDeepStrictEqual } from 'node:util';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Db } from '#shared/db/client/pool.ts';
import { answerCallback, readCallback, type Callback } from '#shared/db/turns/waits/callbacks.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import { callbacksPath, maxAnswerBytes, type CallbackResult } from '#shared/domain/wait.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { errorMessage, type Logger } from '#shared/runtime/log.ts';
import { HttpRequestError } from '../handler/errors.ts';
import { checkJsonText } from '../handler/validate/json.ts';
import { readText } from '../http/body.ts';
import { plainFailure, sendFailure } from '../http/failure.ts';
import type { AuthFailures } from '../limits/auth-failures.ts';

export interface CallbackRoutesParts {
  db: Db;
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
  failures: AuthFailures;
  /** Counts what is stored for an owner. */
  recorder: { add(owner: string, amounts: { bytes: number }): void };
  log: Logger;
}

export function registerCallbackRoutes(app: FastifyInstance, parts: CallbackRoutesParts): void {
  const { db, outbox, wakeupGraceSeconds, failures, recorder, log } = parts;
  const url = `${callbacksPath}/:token`;

  app.post<{ Params: { token: string } }>(url, { bodyLimit: maxAnswerBytes }, async (request, reply) => {
    const { token } = request.params;
    void reply.header('content-type', 'application/json').header('cache-control', 'no-store');
    try {
      failures.check(request.headers, () => request.ip);
      const callback = await readCallback(db, token);
      if (callback === undefined) {
        failures.recordFailure(request.ip, 'unknown callback');
        throw new HttpRequestError(404, 'The callback was not found: use the URL exactly as it was given');
      }
      const body = readAnswer(request);
      await checkSchema(callback, body);
      const result: CallbackResult = { status: 'answered', body };
      const text = JSON.stringify(result);
      const wakeups = await answerCallback(db, { wakeupGraceSeconds }, { token, result: text });
      if (wakeups === undefined) return await sendClosed(reply, result, await readCallback(db, token));
      recorder.add(callback.owner, { bytes: Buffer.byteLength(text) });
      outbox.publish(wakeups);
      return await reply.send(accepted);
    } catch (error) {
      return sendFailure(reply, log, error, plainFailure);
    }
  });
}

const accepted = JSON.stringify({ status: 'answered' });

/** @throws {HttpRequestError} if the callback is closed, unless it was answered with the same JSON before */
async function sendClosed(
  reply: FastifyReply,
  result: CallbackResult,
  callback: Callback | undefined,
): Promise<FastifyReply> {
  const state = callback?.state ?? 'ended';
  switch (state) {
    case 'answered':
      if (isDeepStrictEqual(callback?.output, result)) return reply.send(accepted);
      throw new HttpRequestError(409, 'The callback was answered before: it accepts one answer');
    case 'timed_out':
      throw new HttpRequestError(410, 'The callback has timed out');
    case 'open':
      throw new HttpRequestError(503, 'The answer could not be stored: try again');
    case 'ended':
      throw new HttpRequestError(410, 'The task no longer waits for this callback');
    default:
      return state satisfies never;
  }
}

/** @throws {HttpRequestError} if the body is not JSON */
function readAnswer(request: FastifyRequest): Json {
  const { mediaType } = request;
  if (mediaType !== undefined && !/^application\/(?:[\w.-]+\+)?json$/.test(mediaType)) {
    throw new HttpRequestError(415, `The body must be application/json, not ${mediaType}`);
  }
  const text = readText(request);
  if (text.trim() === '') throw new HttpRequestError(400, 'The body must be JSON, for example null');
  try {
    checkJsonText('the body', text);
    return JSON.parse(text) as Json;
  } catch (error) {
    throw new HttpRequestError(400, `The body is not accepted: ${errorMessage(error)}`);
  }
}

/** @throws {HttpRequestError} if the answer does not match the schema of the callback */
async function checkSchema({ wait }: Callback, body: Json): Promise<void> {
  const schema = wait.kind === 'callback' ? wait.schema : undefined;
  if (schema === undefined) return;
  const { AjvJsonSchemaValidator } = await import('@modelcontextprotocol/client/validators/ajv');
  const check = new AjvJsonSchemaValidator().getValidator<JsonObject>(schema);
  const { valid, errorMessage: problems } = check(body);
  if (!valid) throw new HttpRequestError(400, `The body does not match the schema: ${problems}`);
}
