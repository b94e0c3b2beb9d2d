/**
 * `POST /tasks:rerun`: starts new tasks with the messages of tasks that have ended, or runs the current turn of one task
 * again from a step. A task that has ended stays as it is (invariant 4): its streams are closed, and its end is delivered.
 */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import { randomUUID } from 'node:crypto';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Db } from '#shared/db/client/pool.ts';
import { readRerunSource, readTaskStates, type RerunSource } from '#shared/db/reruns/source.ts';
import { childrenExtension } from '#shared/domain/children.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { isTerminal } from '#shared/domain/task.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import { decryptSecrets } from '#shared/webhooks/secrets.ts';
import { createCallContext } from '../../bindings/call-context.ts';
import { clientAddress, getController, traceparent } from '../../handler/call-state.ts';
import { RetryLaterError, toClientError } from '../../handler/errors.ts';
import { decodeSendMessage, type Params } from '../../handler/operations.ts';
import type { Send } from '../../handler/send-message.ts';
import { checkId } from '../../handler/validate/message.ts';
import { readFlag, readTaskIds } from '../body.ts';
import type { ExtensionCall } from '../routes.ts';
import { scheduleExtension } from '../schedule.ts';
import { restartFromStep } from './restart.ts';
import type { RerunResult, RerunSummary } from './results.ts';
import { maxRequestIdLength } from './schemas.ts';

export interface RerunParts {
  db: Db;
  send: Send;
  outbox: OutboxPublisher;
  encryptor: Encryptor;
  wakeupGraceSeconds: number;
  log: Logger;
}

export async function rerunTasks(parts: RerunParts, call: ExtensionCall): Promise<RerunSummary> {
  const { body, addAuditDetails } = call;
  const ids = readTaskIds(body);
  const dryRun = readFlag(body, 'dryRun');
  addAuditDetails({ taskIds: ids.filter(isUuid), dryRun });
  const [id] = ids;
  if (body['fromStep'] === undefined || id === undefined) {
    const results = await startAgain(parts, call, ids, dryRun);
    addAuditDetails({ newTaskIds: results.flatMap(({ newTaskId = [] }) => newTaskId) });
    return { dryRun, results };
  }
  if (ids.length > 1) throw new RequestMalformedError('fromStep needs one id in taskIds');
  if (body['newContext'] !== undefined || body['requestId'] !== undefined) {
    throw new RequestMalformedError('fromStep starts no task: omit newContext and requestId');
  }
  return { dryRun, results: [await restartFromStep(parts, call, id, dryRun)] };
}

async function startAgain(
  parts: RerunParts,
  call: ExtensionCall,
  ids: readonly string[],
  dryRun: boolean,
): Promise<RerunResult[]> {
  const { caller, body } = call;
  const newContext = readFlag(body, 'newContext');
  const requestId = readRequestId(body);
  const states = await readTaskStates(parts.db, caller, ids.filter(isUuid));
  const results: RerunResult[] = [];
  for (const taskId of ids) {
    const state = states.get(taskId);
    if (state === undefined) results.push({ taskId, outcome: 'not_found' });
    else if (!isTerminal(state)) results.push({ taskId, outcome: 'not_ended' });
    else if (dryRun) results.push({ taskId, outcome: 'started' });
    else {
      try {
        const messageId = `rerun:${taskId}:${requestId}`;
        results.push(await startOne(parts, call, taskId, { messageId, newContext }));
      } catch (error) {
        const failure = toClientError(parts.log, error);
        // The whole request may be repeated.
        if (failure instanceof RetryLaterError && results.every(({ newTaskId }) => newTaskId === undefined)) {
          throw failure;
        }
        results.push({ taskId, outcome: 'refused', message: failure.message });
      }
    }
  }
  return results;
}

/** Sends the first message of a task once more, as its client would. */
async function startOne(
  { db, send, encryptor }: RerunParts,
  { caller, user, context }: Pick<ExtensionCall, 'caller' | 'user' | 'context'>,
  taskId: string,
  options: { messageId: string; newContext: boolean },
): Promise<RerunResult> {
  const source = await readRerunSource(db, taskId);
  if (source === undefined) return { taskId, outcome: 'not_found' };
  const ownContext = createCallContext({
    // The bodies of a webhook keep the version of its config.
    version: source.webhook?.protocolVersion ?? '1.0',
    extensions: [],
    tenant: caller.tenant,
    // An operator may act for the owner.
    user: { isAuthenticated: true, userName: caller.owner, scopes: user.scopes },
    address: clientAddress.get(context),
    traceparent: traceparent.get(context),
    controller: () => getController(context),
  });
  const request = decodeSendMessage(toParams(encryptor, taskId, source, options), ownContext);
  const { taskId: newTaskId } = await send(request, ownContext, true);
  return { taskId, outcome: 'started', newTaskId };
}

function toParams(
  encryptor: Encryptor,
  taskId: string,
  source: RerunSource,
  { messageId, newContext }: { messageId: string; newContext: boolean },
): Params {
  const { contextId } = source;
  const { taskId: _task, contextId: _context, ...message } = source.message;
  // The times of the schedule have passed, and the new task is not a child.
  const { [scheduleExtension]: _schedule, [childrenExtension]: _parent, ...metadata } = source.metadata ?? {};
  const webhook = source.webhook && decryptSecrets(encryptor, taskId, source.webhook);
  const options = webhook && {
    events: webhook.events,
    order: webhook.ordered ? 'strict' : 'none',
    ...(webhook.signingSecret !== null && { secret: webhook.signingSecret }),
  };
  const own = { ...metadata, ...(options && { [webhooksExtensionUri]: options }) };
  return {
    message: { ...message, messageId, ...(!newContext && { contextId }) },
    configuration: {
      acceptedOutputModes: source.acceptedOutputModes ?? [],
      ...(webhook && { taskPushNotificationConfig: toPushConfig(webhook) }),
    },
    ...(Object.keys(own).length > 0 && { metadata: own }),
  };
}

function toPushConfig({
  id,
  url,
  token,
  authScheme,
  authCredentials,
}: NonNullable<RerunSource['webhook']>): object {
  return {
    id,
    url,
    ...(token !== null && { token }),
    ...(authScheme !== null && {
      authentication: { scheme: authScheme, credentials: authCredentials ?? '' },
    }),
  };
}

function readRequestId(body: Params): string {
  const id = body['requestId'] ?? randomUUID();
  if (typeof id !== 'string') throw new RequestMalformedError('requestId must be a string');
  checkId('requestId', id, true);
  if (id.length <= maxRequestIdLength) return id;
  throw new RequestMalformedError(`requestId has ${id.length} characters: use at most ${maxRequestIdLength}`);
}
