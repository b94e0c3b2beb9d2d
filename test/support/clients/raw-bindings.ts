/**
 * The three bindings of A2A 1.0 on the wire, behind one interface: it accepts JSON of the protocol, and returns JSON of
 * the protocol or an error. Unlike a client library, it corrects nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AgentCard,
  CancelTaskRequest,
  DeleteTaskPushNotificationConfigRequest,
  GetExtendedAgentCardRequest,
  GetTaskPushNotificationConfigRequest,
  GetTaskRequest,
  ListTaskPushNotificationConfigsRequest,
  ListTaskPushNotificationConfigsResponse,
  ListTasksRequest,
  ListTasksResponse,
  parseSseStream,
  SendMessageRequest,
  SendMessageResponse,
  StreamResponse,
  SubscribeToTaskRequest,
  Task,
  TaskPushNotificationConfig,
} from '@a2a-js/sdk';
import { A2AService } from '@a2a-js/sdk/server/grpc';
import { decodeErrorInfo, decodeStatus } from '@a2a-js/sdk/errors/grpc';
import { credentials, makeGenericClientConstructor, Metadata, type ServiceError } from '@grpc/grpc-js';
import { UnavailableError } from '#services/api/handler/errors.ts';
import { keepNullData } from '#shared/a2a/translate.ts';
import { postJsonRpc } from './json-rpc.ts';
import type { AnyJson as Json } from './any-json.ts';

type Params = Record<string, unknown>;
type Headers = Record<string, string>;

export interface WireError {
  /** The code in the binding: the JSON-RPC error code, the HTTP status, or the gRPC status. */
  code: number;
  message: string;
  /** From google.rpc.ErrorInfo; undefined if the error has none. */
  reason: string | undefined;
  /** Only of gRPC: its metadata of this name. */
  retryAfter?: string;
}

export interface Outcome {
  result?: Json;
  error?: WireError;
}

export interface RawBinding {
  readonly name: 'JSONRPC' | 'HTTP+JSON' | 'GRPC';
  readonly call: (operation: string, params: Params, headers?: Headers) => Promise<Outcome>;
  /** Yields the events; an error before the first event is the only outcome. */
  readonly stream: (
    operation: string,
    params: Params,
    signal?: AbortSignal,
    headers?: Headers,
  ) => AsyncGenerator<Outcome, void, undefined>;
  readonly close: () => void;
}

const versioned = { 'a2a-version': '1.0' };
/** The `Retry-After` of an unavailable service. */
const retryAfterMs = 2_000;

export function createRawJsonRpc(url: string): RawBinding {
  const post = (method: string, params: Params, headers: Headers = {}, signal?: AbortSignal) =>
    postJsonRpc(url, method, params, { headers, ...(signal !== undefined && { signal }) });
  const read = ({ result, error }: Json): Outcome =>
    error === undefined
      ? { result }
      : { error: { code: error.code, message: error.message, reason: error.data?.[0]?.reason } };
  return {
    name: 'JSONRPC',
    call: async (method, params, headers) => read(await (await post(method, params, headers)).json()),
    stream: async function* (method, params, signal, headers) {
      const response = await post(method, params, headers, signal);
      if (isJson(response)) yield read(await response.json());
      else for await (const { data } of parseSseStream(response)) yield read(JSON.parse(data));
    },
    close: () => undefined,
  };
}

type RestRoute = [method: string, path: (params: Json) => string, pathParams?: string[]];
const restRoutes: Record<string, RestRoute> = {
  SendMessage: ['POST', () => '/message:send'],
  SendStreamingMessage: ['POST', () => '/message:stream'],
  GetTask: ['GET', ({ id }) => `/tasks/${id}`, ['id']],
  ListTasks: ['GET', () => '/tasks'],
  CancelTask: ['POST', ({ id }) => `/tasks/${id}:cancel`, ['id']],
  SubscribeToTask: ['POST', ({ id }) => `/tasks/${id}:subscribe`, ['id']],
  CreateTaskPushNotificationConfig: ['POST', ({ taskId }) => `/tasks/${taskId}/pushNotificationConfigs`],
  ListTaskPushNotificationConfigs: [
    'GET',
    ({ taskId }) => `/tasks/${taskId}/pushNotificationConfigs`,
    ['taskId'],
  ],
  GetTaskPushNotificationConfig: [
    'GET',
    ({ taskId, id }) => `/tasks/${taskId}/pushNotificationConfigs/${id}`,
    ['taskId', 'id'],
  ],
  DeleteTaskPushNotificationConfig: [
    'DELETE',
    ({ taskId, id }) => `/tasks/${taskId}/pushNotificationConfigs/${id}`,
    ['taskId', 'id'],
  ],
  GetExtendedAgentCard: ['GET', () => '/extendedAgentCard'],
};

export function createRawRest(url: string): RawBinding {
  const send = (operation: string, params: Params, headers: Headers = {}, signal?: AbortSignal) => {
    const [method, path, pathParams = []] = restRoutes[operation]!;
    const { tenant, ...all } = params as { tenant?: string };
    const rest = Object.entries(all).filter(([name]) => !pathParams.includes(name));
    const prefix = tenant === undefined ? '' : `/${tenant}`;
    const query =
      method === 'POST'
        ? ''
        : `?${new URLSearchParams(rest.map(([k, v]): [string, string] => [k, String(v)])).toString()}`;
    return fetch(`${url}/a2a/v1${prefix}${path(params)}${query}`, {
      method,
      headers: {
        ...versioned,
        ...(method === 'POST' && { 'content-type': 'application/a2a+json' }),
        ...headers,
      },
      ...(method === 'POST' && { body: JSON.stringify(Object.fromEntries(rest)) }),
      ...(signal !== undefined && { signal }),
    });
  };
  const read = (status: number, body: Json): Outcome =>
    body?.error === undefined
      ? { result: body }
      : { error: { code: status, message: body.error.message, reason: body.error.details[0]?.reason } };
  return {
    name: 'HTTP+JSON',
    call: async (operation, params, headers) => {
      const response = await send(operation, params, headers);
      return read(response.status, response.status === 204 ? null : await response.json());
    },
    stream: async function* (operation, params, signal, headers) {
      const response = await send(operation, params, headers, signal);
      if (isJson(response)) yield read(response.status, await response.json());
      else for await (const { data } of parseSseStream(response)) yield read(200, JSON.parse(data));
    },
    close: () => undefined,
  };
}

const codecs: Record<string, [{ fromJSON(json: unknown): object }, { toJSON(value: Json): unknown }]> = {
  SendMessage: [SendMessageRequest, SendMessageResponse],
  SendStreamingMessage: [SendMessageRequest, StreamResponse],
  GetTask: [GetTaskRequest, Task],
  ListTasks: [ListTasksRequest, ListTasksResponse],
  CancelTask: [CancelTaskRequest, Task],
  SubscribeToTask: [SubscribeToTaskRequest, StreamResponse],
  CreateTaskPushNotificationConfig: [TaskPushNotificationConfig, TaskPushNotificationConfig],
  GetTaskPushNotificationConfig: [GetTaskPushNotificationConfigRequest, TaskPushNotificationConfig],
  ListTaskPushNotificationConfigs: [
    ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse,
  ],
  DeleteTaskPushNotificationConfig: [DeleteTaskPushNotificationConfigRequest, { toJSON: () => null }],
  GetExtendedAgentCard: [GetExtendedAgentCardRequest, AgentCard],
};

export function createRawGrpc(target: string): RawBinding {
  const Client = makeGenericClientConstructor(A2AService, 'A2AService');
  const client = new Client(target, credentials.createInsecure());
  const method = (operation: string): Json => {
    const name = `${operation[0]!.toLowerCase()}${operation.slice(1)}`;
    return (client as Json)[name].bind(client);
  };
  const encode = ([codec]: NonNullable<(typeof codecs)[string]>, params: Json): object => {
    const request: Json = codec.fromJSON(params);
    keepNullData(params.message, request.message);
    return request;
  };
  const toMetadata = (headers: Headers = {}) => {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries({ ...versioned, ...headers })) metadata.set(name, value);
    return metadata;
  };
  return {
    name: 'GRPC',
    call: (operation, params, headers) => {
      const codec = codecs[operation]!;
      const [, response] = codec;
      return new Promise((resolve) => {
        method(operation)(
          encode(codec, params),
          toMetadata(headers),
          (error: ServiceError | null, value: unknown) =>
            resolve(error === null ? { result: response.toJSON(value) } : { error: toWireError(error) }),
        );
      });
    },
    stream: async function* (operation, params, signal, headers) {
      const codec = codecs[operation]!;
      const [, response] = codec;
      const call = method(operation)(encode(codec, params), toMetadata(headers));
      signal?.addEventListener('abort', () => call.cancel());
      try {
        for await (const value of call) yield { result: response.toJSON(value) };
      } catch (error) {
        yield { error: toWireError(error as ServiceError) };
      }
    },
    close: () => client.close(),
  };
}

export function toWireError({ code, details, metadata }: ServiceError): WireError {
  const [bytes] = metadata.get('grpc-status-details-bin');
  const detail = bytes === undefined ? undefined : decodeStatus(bytes as Buffer).details[0];
  const reason = detail && decodeErrorInfo(Buffer.from(detail.value)).reason;
  const [retryAfter] = metadata.get('retry-after').map(String);
  return { code, message: details, reason, ...(retryAfter !== undefined && { retryAfter }) };
}

function isJson(response: Response): boolean {
  return response.headers.get('content-type')?.includes('json') === true;
}

const isUnavailable = ({ error }: Outcome): boolean => error?.message === UnavailableError.text;

/**
 * Repeats calls that the service cannot serve for a moment, as its clients do: while its processes start, a busy machine
 * takes longer for a connection to the database than the service waits.
 */
export function retryUnavailable({ name, call, stream, close }: RawBinding): RawBinding {
  return {
    name,
    call: async (...args) => {
      const outcome = await call(...args);
      if (!isUnavailable(outcome)) return outcome;
      await sleep(retryAfterMs);
      return call(...args);
    },
    stream: async function* (...args) {
      const events = stream(...args);
      const first = await events.next();
      if (!first.done && isUnavailable(first.value)) {
        await sleep(retryAfterMs);
        yield* stream(...args);
        return;
      }
      if (!first.done) yield first.value;
      yield* events;
    },
    close,
  };
}
