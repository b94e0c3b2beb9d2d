/**
 * The gRPC binding (A2A section 10), for clients of 1.0 (lf.a2a.v1) and of 0.3 (a2a.v1) on one port, on the SDK's
 * services. What those leave open is done around the handler: a call ends when its client cancels it or its deadline
 * passes, a slow reader holds its stream back, and errors have a status that says whether to try again.
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
import type { Admit } from '../../limits/admission.ts';
import { UnauthenticatedError, type RequestHeaders } from '../../auth/caller.ts';
import { webhookOptionsHeader } from '#shared/webhooks/options.ts';
import { createAdmit, createCallContext, supportsV03 } from '../call-context.ts';
import { getSignal } from '../../handler/caller.ts';
import { RetryLaterError, toClientError } from '../../handler/errors.ts';
import { healthMethods, healthService } from './health.ts';

export interface GrpcParts {
  handler: A2ARequestHandler;
  card: AgentCard;
  admitCaller: Admit;
  ready: ReadyCheck;
  host: string;
  port: number;
  bodyLimitBytes: number;
  log: Logger;
}

export interface GrpcListener {
  readonly port: number;
  /** Resolves when the calls under way are answered, or have been cut off. */
  close(): Promise<void>;
}

const closeMs = 3000;

export async function listenGrpc(parts: GrpcParts): Promise<GrpcListener> {
  const { host, port } = parts;
  const server = new Server({
    'grpc.max_receive_message_length': parts.bodyLimitBytes,
    'grpc.max_send_message_length': -1,
  });
  server.addService(A2AService, grpcService(optionsFor('1.0', parts)));
  if (supportsV03(parts.card))
    server.addService(LegacyA2AService, legacyGrpcService(optionsFor('0.3', parts)));
  server.addService(healthService, healthMethods(parts.ready));
  // The platform ends TLS before the process.
  const bound = await new Promise<number>((resolve, reject) => {
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, at) =>
      error === null ? resolve(at) : reject(error),
    );
  });
  return {
    port: bound,
    close: async () => {
      const timer = setTimeout(() => server.forceShutdown(), closeMs);
      await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      clearTimeout(timer);
    },
  };
}

type Call = Parameters<GrpcServiceOptions['userBuilder']>[0];

/** A caller who brings the call along: the SDK gives the call to the builder of users alone. */
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

/** The metadata of a call, as the headers that they are. */
function buildHeaders({ metadata }: Call): RequestHeaders {
  const names = Object.keys(metadata.getMap());
  return Object.fromEntries(names.map((name) => [name, metadata.get(name).map(String)]));
}

const calls = new WeakMap<ServerCallContext, Call>();

function optionsFor(
  version: '1.0' | '0.3',
  { handler, card, admitCaller, log }: GrpcParts,
): GrpcServiceOptions {
  const admit = createAdmit(card, 'GRPC');
  return {
    requestHandler: aroundHandler(handler, log),
    userBuilder: async (call) => {
      const addressOf = () => call.getPeer().replace(/:\d+$/, '');
      const caller = await admitCaller(buildHeaders(call), addressOf).catch((error: unknown) => {
        throw toGrpcError(log, error);
      });
      return new CallingUser(caller, call);
    },
    contextBuilder: ({ user, extensions, requestedVersion, tenant }) => {
      const gone = new AbortController();
      const call = user instanceof CallingUser ? user.call : undefined;
      call?.once('cancelled', () => gone.abort());
      if (call?.cancelled === true) gone.abort();
      const context = createCallContext({
        version: requestedVersion,
        extensions: extensions ?? [],
        tenant,
        user,
        cursor: call?.metadata.get('last-event-id')[0]?.toString(),
        webhookOptions: call?.metadata.get(webhookOptionsHeader).map(String).at(-1),
        traceparent: call?.metadata.get('traceparent')[0]?.toString(),
        signal: () => gone.signal,
      });
      admit(context);
      if (context.requestedVersion !== version) {
        throw new VersionNotSupportedError(
          `this service speaks A2A ${version} and the call names ${context.requestedVersion}: set the metadata a2a-version, or call ${version === '1.0' ? 'a2a.v1' : 'lf.a2a.v1'}.A2AService`,
        );
      }
      if (call !== undefined) calls.set(context, call);
      return context;
    },
  };
}

function aroundHandler(handler: A2ARequestHandler, log: Logger): A2ARequestHandler {
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
          await untilRead(context);
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

/** Resolves when there is room for another event, or the caller has gone: the SDK writes without looking. */
async function untilRead(context: ServerCallContext): Promise<void> {
  const call = calls.get(context);
  if (call === undefined || !('writableNeedDrain' in call) || !call.writableNeedDrain) return;
  await once(call, 'drain', { signal: getSignal(context) }).catch(() => undefined);
}

/** An error of gRPC itself, in the form in which the SDK's services take a status. */
class StatusError extends A2AError {
  readonly transport = 'grpc';
  readonly status: Status;

  constructor(status: Status, message: string) {
    super(message);
    this.status = status;
    this.name = 'A2AError';
  }
}

function toGrpcError(log: Logger, error: unknown): Error {
  if (error instanceof UnauthenticatedError) return new StatusError(Status.UNAUTHENTICATED, error.message);
  const told = toClientError(log, error);
  if (told instanceof A2AError) return told;
  if (!(told instanceof RetryLaterError)) return new StatusError(Status.INTERNAL, told.message);
  const status = told.statusCode === 503 ? Status.UNAVAILABLE : Status.RESOURCE_EXHAUSTED;
  return new StatusError(status, told.message);
}
