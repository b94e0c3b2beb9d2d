/**
 * The A2A services of the SDK on the handler. The wrapper around the handler adds what they lack: a call ends
 * when its client cancels it or its deadline passes, and a slow reader slows its stream down.
 */
import type { AgentCard, StreamResponse } from '@a2a-js/sdk';
import { VersionNotSupportedError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext, User } from '@a2a-js/sdk/server';
import type { GrpcServiceOptions } from '@a2a-js/sdk/server/grpc';
import type { Logger } from '#shared/runtime/log.ts';
import type { AuthenticatedCaller } from '../../auth/caller.ts';
import { webhookOptionsHeader } from '#shared/webhooks/extension.ts';
import { nextStep, streamCloses } from '../../handler/call-state.ts';
import { toClientError } from '../../handler/errors.ts';
import { createCallContext, createProtocolCheck } from '../call-context.ts';
import { toGrpcError } from './errors.ts';
import { getAdmission } from './guarded-call.ts';

type Call = Parameters<GrpcServiceOptions['userBuilder']>[0];

/** A caller together with its call: the SDK passes the call to the user builder only. */
class CallingUser implements User {
  readonly isAuthenticated: boolean;
  readonly userName: string;
  readonly caller: AuthenticatedCaller;
  readonly call: Call;

  constructor(caller: AuthenticatedCaller, call: Call) {
    this.isAuthenticated = caller.isAuthenticated;
    this.userName = caller.userName;
    this.caller = caller;
    this.call = call;
  }
}

/** A message of a stream, as far as `markNextFinal` reads it. */
interface LegacyStreamResponse {
  payload?: { value: object & { final?: boolean } };
}

const calls = new WeakMap<ServerCallContext, Call>();

export function createServiceOptions(
  version: '1.0' | '0.3',
  { handler, card, log }: { handler: A2ARequestHandler; card: AgentCard; log: Logger },
): GrpcServiceOptions {
  const checkProtocol = createProtocolCheck(card, 'GRPC');
  return {
    requestHandler: wrapHandler(version === '0.3' ? withFullHistories(handler) : handler, log),
    userBuilder: async (call) => new CallingUser(getAdmission(call).caller, call),
    contextBuilder: ({ user, extensions, requestedVersion, tenant }) => {
      const disconnected = new AbortController();
      const calling = user instanceof CallingUser ? user : undefined;
      const call = calling?.call;
      call?.once('cancelled', () => disconnected.abort());
      if (call?.cancelled === true) disconnected.abort();
      const context = createCallContext({
        version: requestedVersion,
        extensions: extensions ?? [],
        tenant,
        user: calling?.caller,
        address: call && getAdmission(call).getAddress,
        lastEventId: call?.metadata.get('last-event-id')[0]?.toString(),
        webhookOptions: call?.metadata.get(webhookOptionsHeader).map(String).at(-1),
        traceparent: call?.metadata.get('traceparent')[0]?.toString(),
        controller: () => disconnected,
      });
      checkProtocol(context);
      if (context.requestedVersion !== version) {
        throw new VersionNotSupportedError(
          `this service is for A2A ${version}, but the call requests ${context.requestedVersion}: set the metadata a2a-version to ${version}, or call ${version === '1.0' ? 'a2a.v1' : 'lf.a2a.v1'}.A2AService`,
        );
      }
      if (call !== undefined) calls.set(context, call);
      return context;
    },
  };
}

/**
 * Reads whole histories for clients of A2A 0.3 that do not limit them: the protocol buffers of that version cannot
 * distinguish 0 from an omitted length.
 */
function withFullHistories(handler: A2ARequestHandler): A2ARequestHandler {
  return {
    ...handler,
    getTask: (request, context) =>
      handler.getTask(
        request.historyLength === 0 ? { ...request, historyLength: undefined } : request,
        context,
      ),
  };
}

function wrapHandler(handler: A2ARequestHandler, log: Logger): A2ARequestHandler {
  const fail = (error: unknown, context: ServerCallContext): Error => {
    const failure = toClientError(log, error);
    const call = calls.get(context);
    if (call !== undefined) getAdmission(call).failed(failure);
    return toGrpcError(log, failure);
  };
  const unary =
    <Request, Result>(run: (request: Request, context: ServerCallContext) => Promise<Result>) =>
    async (request: Request, context: ServerCallContext): Promise<Result> => {
      try {
        const result = await run(request, context);
        await nextStep.get(context)?.();
        return result;
      } catch (error) {
        throw fail(error, context);
      }
    };
  const streaming = <Request>(
    run: (request: Request, context: ServerCallContext) => AsyncGenerator<StreamResponse, void, undefined>,
  ) =>
    async function* (
      request: Request,
      context: ServerCallContext,
    ): AsyncGenerator<StreamResponse, void, undefined> {
      try {
        for await (const event of run(request, context)) {
          if (streamCloses.get(context) === true) markNextFinal(calls.get(context));
          yield event;
          await waitForDrain(context);
        }
      } catch (error) {
        throw fail(error, context);
      }
    };
  return {
    getAgentCard: () => handler.getAgentCard(),
    getAuthenticatedExtendedAgentCard: unary((request, context) =>
      handler.getAuthenticatedExtendedAgentCard(request, context),
    ),
    sendMessage: unary((request, context) => handler.sendMessage(request, context)),
    sendMessageStream: streaming((request, context) => handler.sendMessageStream(request, context)),
    getTask: unary((request, context) => handler.getTask(request, context)),
    listTasks: unary((request, context) => handler.listTasks(request, context)),
    cancelTask: unary((request, context) => handler.cancelTask(request, context)),
    resubscribe: streaming((request, context) => handler.resubscribe(request, context)),
    createTaskPushNotificationConfig: unary((request, context) =>
      handler.createTaskPushNotificationConfig(request, context),
    ),
    getTaskPushNotificationConfig: unary((request, context) =>
      handler.getTaskPushNotificationConfig(request, context),
    ),
    listTaskPushNotificationConfigs: unary((request, context) =>
      handler.listTaskPushNotificationConfigs(request, context),
    ),
    deleteTaskPushNotificationConfig: unary((request, context) =>
      handler.deleteTaskPushNotificationConfig(request, context),
    ),
  };
}

/**
 * Marks the status update that the SDK writes next as final (see `../v03/final-event.ts`), which only messages of A2A 0.3
 * can be: the SDK marks terminal states only.
 */
function markNextFinal(call: Call | undefined): void {
  if (call === undefined || !('write' in call)) return;
  const write: (message: LegacyStreamResponse) => boolean = call.write.bind(call);
  call.write = (message: LegacyStreamResponse) => {
    const update = message.payload?.value;
    if (update !== undefined && 'final' in update) update.final = true;
    return write(message);
  };
}

/**
 * Resolves when the client has taken the last event or disconnects: the SDK writes without checking. One event
 * of each stream is in memory.
 */
async function waitForDrain(context: ServerCallContext): Promise<void> {
  const call = calls.get(context);
  if (call !== undefined) await getAdmission(call).untilTaken();
}
