/** Checks the scope that each operation of A2A needs, and audits those that change something, the same way for all bindings. */
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { Scope } from '#shared/domain/scopes.ts';
import type { AuditEntry, AuditLog } from '#shared/runtime/audit.ts';
import { auditOperation, auditRefusal, getHost } from './audit.ts';
import { requireCallScope } from './caller.ts';
import type { StreamingName, UnaryName } from './operations.ts';

/** Undefined: every authenticated caller may call it. */
export const operationScopes: Readonly<Record<UnaryName | StreamingName, Scope | undefined>> = {
  SendMessage: 'send',
  SendStreamingMessage: 'send',
  GetTask: 'read',
  ListTasks: 'read',
  CancelTask: 'send',
  SubscribeToTask: 'read',
  CreateTaskPushNotificationConfig: 'send',
  GetTaskPushNotificationConfig: 'read',
  ListTaskPushNotificationConfigs: 'read',
  DeleteTaskPushNotificationConfig: 'send',
  GetExtendedAgentCard: undefined,
};

/** Sends are audited by `auditSends`, which knows the task before the first event of a stream. */
export function guardOperations(handler: A2ARequestHandler, audit: AuditLog): A2ARequestHandler {
  const check = (name: UnaryName | StreamingName, context: ServerCallContext): void => {
    const scope = operationScopes[name];
    if (scope === undefined) return;
    try {
      requireCallScope(context, scope, name);
    } catch (error) {
      auditRefusal(audit, context, name, error);
      throw error;
    }
  };
  const unary =
    <Request, Result>(
      name: UnaryName,
      run: (request: Request, context: ServerCallContext) => Promise<Result>,
    ) =>
    (request: Request, context: ServerCallContext): Promise<Result> => {
      try {
        check(name, context);
      } catch (error) {
        return Promise.reject(error);
      }
      return run(request, context);
    };
  const audited =
    <Request, Result>(
      name: UnaryName,
      getTarget: (request: Request) => AuditEntry['target'],
      run: (request: Request, context: ServerCallContext) => Promise<Result>,
    ) =>
    async (request: Request, context: ServerCallContext): Promise<Result> => {
      check(name, context);
      const entry = { action: name, target: getTarget(request) };
      return auditOperation(audit, context, entry, () => run(request, context));
    };
  const streaming =
    <Request, Event>(
      name: StreamingName,
      run: (request: Request, context: ServerCallContext) => AsyncGenerator<Event, void, undefined>,
    ) =>
    (request: Request, context: ServerCallContext): AsyncGenerator<Event, void, undefined> => {
      check(name, context);
      return run(request, context);
    };
  return {
    getAgentCard: () => handler.getAgentCard(),
    getAuthenticatedExtendedAgentCard: unary('GetExtendedAgentCard', (request, context) =>
      handler.getAuthenticatedExtendedAgentCard(request, context),
    ),
    sendMessage: unary('SendMessage', (request, context) => handler.sendMessage(request, context)),
    sendMessageStream: streaming('SendStreamingMessage', (request, context) =>
      handler.sendMessageStream(request, context),
    ),
    getTask: unary('GetTask', (request, context) => handler.getTask(request, context)),
    listTasks: unary('ListTasks', (request, context) => handler.listTasks(request, context)),
    cancelTask: audited(
      'CancelTask',
      ({ id }) => ({ taskId: id }),
      (request, context) => handler.cancelTask(request, context),
    ),
    resubscribe: streaming('SubscribeToTask', (request, context) => handler.resubscribe(request, context)),
    createTaskPushNotificationConfig: audited(
      'CreateTaskPushNotificationConfig',
      ({ taskId, id, url }) => ({ taskId, configId: id, webhookHost: getHost(url) }),
      (request, context) => handler.createTaskPushNotificationConfig(request, context),
    ),
    getTaskPushNotificationConfig: unary('GetTaskPushNotificationConfig', (request, context) =>
      handler.getTaskPushNotificationConfig(request, context),
    ),
    listTaskPushNotificationConfigs: unary('ListTaskPushNotificationConfigs', (request, context) =>
      handler.listTaskPushNotificationConfigs(request, context),
    ),
    deleteTaskPushNotificationConfig: audited(
      'DeleteTaskPushNotificationConfig',
      ({ taskId, id }) => ({ taskId, configId: id }),
      (request, context) => handler.deleteTaskPushNotificationConfig(request, context),
    ),
  };
}
