/**
 * The gRPC binding (A2A section 10), for clients of 1.0 (lf.a2a.v1) and 0.3 (a2a.v1) on one port, built on
 * the services of the SDK. The wrapper around the handler adds what they lack: a call ends when its client
 * cancels it or its deadline passes, a slow reader slows its stream down, and the status of an error shows
 * whether to retry.
 */
import { once } from 'node:events';
import { Server, ServerCredentials, status as Status } from '@grpc/grpc-js';
import type { AgentCard, StreamResponse } from '@a2a-js/sdk';
import { LegacyA2AService, legacyGrpcService } from '@a2a-js/sdk/compat/v0_3/server/grpc';
import { A2AError, VersionNotSupportedError } from '@a2a-js/sdk/errors';
import type { A2ARequestHandler, ServerCallContext, User } from '@a2a-js/sdk/server';
import { A2AService, grpcService, type GrpcServiceOptions } from '@a2a-js/sdk/server/grpc';
import type { ReadyCheck } from '#shared/runtime/health.ts';
import type { Logger } from '#shared/runtime/log.ts';
import { webhookOptionsHeader } from '#shared/webhooks/options.ts';
import type { Admit } from '../../limits/admission.ts';
import { UnauthenticatedError, type RequestHeaders } from '../../auth/caller.ts';
import { getSignal } from '../../handler/call-state.ts';
import { RetryLaterError, toClientError } from '../../handler/errors.ts';
import { createCallContext, createProtocolCheck, supportsV03 } from '../call-context.ts';
import { addHealthService } from './health.ts';

export interface GrpcParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  admitCaller: Admit;
  ready: ReadyCheck;
  host: string;
  /** 0: any free port. */
  port: number;
  bodyLimitBytes: number;
  log: Logger;
}

export interface GrpcListener {
  readonly port: number;
  /** Resolves when the calls in flight have been answered, or have been cut off after 3 s. */
  close(): Promise<void>;
}

const closeMs = 3000;

export async function listenGrpc(parts: GrpcParts): Promise<GrpcListener> {
  const { host, port } = parts;
  const server = new Server({
    'grpc.max_receive_message_length': parts.bodyLimitBytes,
    'grpc.max_send_message_length': -1,
  });
  server.addService(A2AService, grpcService(createServiceOptions('1.0', parts)));
  if (supportsV03(parts.card)) {
    server.addService(LegacyA2AService, legacyGrpcService(createServiceOptions('0.3', parts)));
  }
  const health = addHealthService(server, parts.ready);
  // Insecure: the platform terminates TLS in front of the process.
  const boundPort = await new Promise<number>((resolve, reject) => {
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    port: boundPort,
    close: async () => {
      health.close();
      const timer = setTimeout(() => server.forceShutdown(), closeMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(timer);
    },
  };
}

type Call = Parameters<GrpcServiceOptions['userBuilder']>[0];

/** A caller together with its call: the SDK passes the call to the user builder only. */
class CallingUser implements User {
  readonly isAuthenticated: boolean;
  readonly userName: string;
  readonly call: Call;

  constructor({ isAuthenticated, userName }: User, call: Call) {
    this.isAuthenticated = isAuthenticated;
    this.userName = userName;
    this.call = call;
  }
}

/** Returns the metadata of a call as headers. */
function toHeaders({ metadata }: Call): RequestHeaders {
  const names = Object.keys(metadata.getMap());
  return Object.fromEntries(names.map((name) => [name, metadata.get(name).map(String)]));
}

const calls = new WeakMap<ServerCallContext, Call>();

function createServiceOptions(
  version: '1.0' | '0.3',
  { handler, card, admitCaller, log }: GrpcParts,
): GrpcServiceOptions {
  const checkProtocol = createProtocolCheck(card, 'GRPC');
  return {
    requestHandler: wrapHandler(handler, log),
    userBuilder: async (call) => {
      const getAddress = () => call.getPeer().replace(/:\d+$/, '');
      const caller = await admitCaller(toHeaders(call), getAddress).catch((error: unknown) => {
        throw toGrpcError(log, error);
      });
      return new CallingUser(caller, call);
    },
    contextBuilder: ({ user, extensions, requestedVersion, tenant }) => {
      const disconnected = new AbortController();
      const call = user instanceof CallingUser ? user.call : undefined;
      call?.once('cancelled', () => disconnected.abort());
      if (call?.cancelled === true) disconnected.abort();
      const context = createCallContext({
        version: requestedVersion,
        extensions: extensions ?? [],
        tenant,
        user,
        lastEventId: call?.metadata.get('last-event-id')[0]?.toString(),
        webhookOptions: call?.metadata.get(webhookOptionsHeader).map(String).at(-1),
        traceparent: call?.metadata.get('traceparent')[0]?.toString(),
        signal: () => disconnected.signal,
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

function wrapHandler(handler: A2ARequestHandler, log: Logger): A2ARequestHandler {
  const unary =
    <Request, Result>(run: (request: Request, context: ServerCallContext) => Promise<Result>) =>
    async (request: Request, context: ServerCallContext): Promise<Result> => {
      try {
        return await run(request, context);
      } catch (error) {
        throw toGrpcError(log, error);
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
          yield event;
          await waitForDrain(context);
        }
      } catch (error) {
        throw toGrpcError(log, error);
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
 * Resolves when there is room for another event or the client disconnects: the SDK writes without checking.
 */
async function waitForDrain(context: ServerCallContext): Promise<void> {
  const call = calls.get(context);
  if (call === undefined || !('writableNeedDrain' in call) || !call.writableNeedDrain) return;
  await once(call, 'drain', { signal: getSignal(context) }).catch(() => undefined);
}

/** An error of gRPC itself, in the form in which the SDK's services accept a status. */
class GrpcStatusError extends A2AError {
  readonly transport = 'grpc';
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
    this.name = 'A2AError';
  }
}

function toGrpcError(log: Logger, error: unknown): Error {
  const failure = toClientError(log, error);
  if (failure instanceof A2AError) return failure;
  if (failure instanceof UnauthenticatedError) {
    return new GrpcStatusError(Status.UNAUTHENTICATED, failure.message);
  }
  if (!(failure instanceof RetryLaterError)) return new GrpcStatusError(Status.INTERNAL, failure.message);
  const status = failure.statusCode === 503 ? Status.UNAVAILABLE : Status.RESOURCE_EXHAUSTED;
  return new GrpcStatusError(status, failure.message);
}
