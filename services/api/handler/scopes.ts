/** Checks the scope that each operation of A2A needs, the same way for all bindings. */
import type { A2ARequestHandler, ServerCallContext } from '@a2a-js/sdk/server';
import type { Scope } from '#shared/domain/scopes.ts';
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

export function restrictToScopes(handler: A2ARequestHandler): A2ARequestHandler {
  const check = (name: UnaryName | StreamingName, context: ServerCallContext): void => {
    const scope = operationScopes[name];
    if (scope !== undefined) requireCallScope(context, scope, name);
  };
  const unary =
    <Request, Result>(
      name: UnaryName,
      run: (request: Request, context: ServerCallContext) => Promise<Result>,
    ) =>
    async (request: Request, context: ServerCallContext): Promise<Result> => {
      check(name, context);
      return run(request, context);
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
    cancelTask: unary('CancelTask', (request, context) => handler.cancelTask(request, context)),
    resubscribe: streaming('SubscribeToTask', (request, context) => handler.resubscribe(request, context)),
    createTaskPushNotificationConfig: unary('CreateTaskPushNotificationConfig', (request, context) =>
      handler.createTaskPushNotificationConfig(request, context),
    ),
    getTaskPushNotificationConfig: unary('GetTaskPushNotificationConfig', (request, context) =>
      handler.getTaskPushNotificationConfig(request, context),
    ),
    listTaskPushNotificationConfigs: unary('ListTaskPushNotificationConfigs', (request, context) =>
      handler.listTaskPushNotificationConfigs(request, context),
    ),
    deleteTaskPushNotificationConfig: unary('DeleteTaskPushNotificationConfig', (request, context) =>
      handler.deleteTaskPushNotificationConfig(request, context),
    ),
  };
}
