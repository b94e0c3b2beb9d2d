/**
 * The operations of A2A on webhook configs (sections 3.1.7 to 3.1.10). URLs are checked here without DNS, and
 * again before each connection. Secrets are encrypted before they are stored. Tokens and credentials are returned
 * by the call that creates the config, and never again.
 */
import type {
  DeleteTaskPushNotificationConfigRequest,
  GetTaskPushNotificationConfigRequest,
  ListTaskPushNotificationConfigsRequest,
  ListTaskPushNotificationConfigsResponse,
  TaskPushNotificationConfig,
} from '@a2a-js/sdk';
import { RequestMalformedError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { WebhookRow } from '#shared/db/tasks/accept.ts';
import { forOwner } from '#shared/db/client/owner-connections.ts';
import type { Db } from '#shared/db/client/pool.ts';
import type { Encryptor } from '#shared/crypto/encryption.ts';
import type { Caller } from '#shared/db/tasks/read.ts';
import {
  deleteWebhookConfig,
  getWebhookConfig,
  hasWebhookConfig,
  listWebhookConfigs,
  maxWebhookConfigs,
  putWebhookConfig,
  type StoredWebhook,
} from '#shared/db/webhooks/configs.ts';
import { isUuid, uuidv7 } from '#shared/domain/ids.ts';
import type { WebhookGuardConfig } from '#shared/runtime/config/webhook-guard.ts';
import { checkReceiver } from '#shared/webhooks/destinations.ts';
import type { WebhookOptions } from '#shared/webhooks/options.ts';
import { encryptSecrets } from '#shared/webhooks/secrets.ts';
import type { OwnerQuotas } from '../limits/owner-quotas.ts';
import { QuotaExceededError } from '../limits/quota-error.ts';
import type { VerifyReceiver } from '../extensions/webhooks/receiver-check.ts';
import { checkId } from './validate/message.ts';

export interface PushConfigs {
  /**
   * Checks a config, and encrypts its secrets.
   *
   * @param version of the protocol that its webhooks use
   * @throws {RequestMalformedError} if the config is not valid
   */
  toRow(
    config: TaskPushNotificationConfig,
    owner: string,
    taskId: string,
    version: string,
    options: WebhookOptions,
  ): WebhookRow;
  /** Makes a receiver prove that it expects webhooks of this agent, if the operator requires that. */
  verify: VerifyReceiver;
  create(
    config: TaskPushNotificationConfig,
    caller: Caller,
    version: string,
    options: WebhookOptions,
  ): Promise<TaskPushNotificationConfig>;
  get(request: GetTaskPushNotificationConfigRequest, caller: Caller): Promise<TaskPushNotificationConfig>;
  list(
    request: ListTaskPushNotificationConfigsRequest,
    caller: Caller,
  ): Promise<ListTaskPushNotificationConfigsResponse>;
  remove(request: DeleteTaskPushNotificationConfigRequest, caller: Caller): Promise<void>;
}

interface Parts {
  db: Db;
  outbox: OutboxPublisher;
  encryptor: Encryptor;
  webhookGuard: WebhookGuardConfig;
  wakeupGraceSeconds: number;
  webhookRequestsPerMinute: number;
  quotas: OwnerQuotas;
  /** Undefined: receivers need not prove anything. */
  verifyReceiver?: VerifyReceiver | undefined;
}

export function createPushConfigs(parts: Parts): PushConfigs {
  const { db, encryptor } = parts;
  const verify: VerifyReceiver = async (url, owner) => parts.verifyReceiver?.(url, owner);

  function toRow(
    config: TaskPushNotificationConfig,
    owner: string,
    taskId: string,
    version: string,
    options: WebhookOptions,
  ): WebhookRow {
    checkConfigId(config.id);
    checkHeaderValue('token', config.token);
    checkHeaderValue('authentication.scheme', config.authentication?.scheme ?? '');
    checkHeaderValue('authentication.credentials', config.authentication?.credentials ?? '');
    const checked = checkReceiver(config.url, owner, parts.webhookGuard);
    if ('problem' in checked) {
      throw new RequestMalformedError(
        `url is not valid: ${checked.problem} Send an https URL of a public host, with port 443 or from 1024`,
      );
    }
    return encryptSecrets(encryptor, taskId, {
      // Clients of 0.3 may read the config of a task without a config id, so the id of the task is used.
      id: config.id === '' ? (version === '0.3' ? taskId : uuidv7()) : config.id,
      url: checked.url.href,
      token: config.token === '' ? null : config.token,
      authScheme: config.authentication?.scheme ?? null,
      authCredentials: config.authentication?.credentials ?? null,
      ...options,
      protocolVersion: version,
    });
  }

  function toWire(taskId: string, { tenant }: Caller, stored: StoredWebhook): TaskPushNotificationConfig {
    return {
      tenant,
      id: stored.id,
      taskId,
      url: stored.url,
      // A secret of the receiver, like the credentials.
      token: '',
      authentication: stored.authScheme === null ? undefined : { scheme: stored.authScheme, credentials: '' },
    };
  }

  return {
    toRow,
    verify,

    create: async (config, caller, version, options) => {
      const { taskId } = config;
      checkTaskId(taskId);
      const row = toRow(config, caller.owner, taskId, version, options);
      await verify(config.url, caller.owner);
      const put = () => putWebhookConfig(forOwner(db, caller.owner), parts, caller, taskId, row);
      const result = await parts.quotas
        .store(
          caller.owner,
          { webhookConfigs: 1 },
          { run: put, isStored: (stored) => stored.kind === 'stored' && stored.created },
        )
        .catch(async (error: unknown) => {
          // Replacing a config needs no room.
          const key = { taskId, configId: row.id };
          if (
            error instanceof QuotaExceededError &&
            (await hasWebhookConfig(forOwner(db, caller.owner), caller, key))
          )
            return put();
          throw error;
        });
      switch (result.kind) {
        case 'stored':
          parts.outbox.publish(result.wakeups);
          return { ...config, id: row.id, url: row.url };
        case 'task_not_found':
          throw taskNotFound(taskId);
        case 'too_many':
          throw new RequestMalformedError(
            `task ${taskId} already has ${maxWebhookConfigs} webhook configs, which is the maximum: delete one first`,
          );
        default:
          return result satisfies never;
      }
    },

    get: async ({ taskId, id: requestedId }, caller) => {
      checkTaskId(taskId);
      const id = requestedId === '' ? taskId : requestedId;
      checkId('id', id, true);
      const stored = await getWebhookConfig(forOwner(db, caller.owner), caller, taskId, id);
      if (stored === undefined) throw new TaskNotFoundError(`task ${taskId} has no webhook config ${id}`);
      return toWire(taskId, caller, stored);
    },

    list: async ({ taskId, pageSize, pageToken }, caller) => {
      checkTaskId(taskId);
      if (!(Number.isInteger(pageSize) && pageSize >= 0)) {
        throw new RequestMalformedError(`pageSize must be a whole number from 0, not ${pageSize}`);
      }
      const size = pageSize === 0 ? maxWebhookConfigs : Math.min(pageSize, maxWebhookConfigs);
      const after = Buffer.from(pageToken, 'base64url').toString();
      checkId('pageToken', after, false);
      const page = await listWebhookConfigs(forOwner(db, caller.owner), caller, taskId, { size, after });
      if (page === undefined) throw taskNotFound(taskId);
      return {
        configs: page.configs.map((config) => toWire(taskId, caller, config)),
        nextPageToken: Buffer.from(page.next ?? '').toString('base64url'),
      };
    },

    remove: async ({ taskId, id }, caller) => {
      checkTaskId(taskId);
      checkId('id', id, false);
      // A config that does not exist is not an error (section 3.1.10); a task that does not exist is one.
      const result = await deleteWebhookConfig(forOwner(db, caller.owner), caller, taskId, id);
      if (result === 'task_not_found') throw taskNotFound(taskId);
      if (result === 'deleted') parts.quotas.free(caller.owner, { webhookConfigs: 1 });
    },
  };
}

function checkTaskId(taskId: string): void {
  if (taskId === '') throw new RequestMalformedError('taskId is missing or empty');
  if (!isUuid(taskId)) throw taskNotFound(taskId);
}

function taskNotFound(taskId: string): Error {
  return new TaskNotFoundError(`task ${taskId} was not found`);
}

/** The id is sent in headers of webhooks, and clients put it into paths: RFC 3986, section 3.3, without escapes. */
function checkConfigId(id: string): void {
  checkId('id', id, false);
  if (id === '' || (/^[\w.~:@!$&'()*+,;=-]+$/.test(id) && id !== '.' && id !== '..')) return;
  throw new RequestMalformedError(
    "id has characters that are not allowed: use letters, digits and -._~:@!$&'()*+,;= but not only dots",
  );
}

/** Header values: RFC 9110, section 5.5. */
function checkHeaderValue(name: string, value: string): void {
  if (value.length > 4096) throw new RequestMalformedError(`${name} must have at most 4096 characters`);
  if (!/^[\u0020-\u007e\u0080-\u00ff]*$/.test(value)) {
    throw new RequestMalformedError(
      `${name} contains characters that are not allowed in a header: use printable Latin-1 characters`,
    );
  }
}
