/** The client of a command: any agent of A2A 1.0 or 0.3, over JSON-RPC or HTTP+JSON. */
import {
  CancelTaskRequest,
  DeleteTaskPushNotificationConfigRequest,
  GetTaskRequest,
  ListTaskPushNotificationConfigsRequest,
  ListTasksRequest,
  ListTasksResponse,
  Message,
  SendMessageRequest,
  StreamResponse,
  SubscribeToTaskRequest,
  Task,
  type AgentCard,
} from '@a2a-js/sdk';
import { ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from '@a2a-js/sdk/client';
import { CliError } from '../failure.ts';
import type { Target } from '../settings/settings.ts';
import { fetchCard } from './card.ts';
import { checkEndpoint, createAuthHeaders } from './credentials.ts';
import { request } from './http.ts';
import type { StreamEventJson, TaskJson, MessageJson } from './json.ts';

export type Sent = { task: TaskJson } | { message: MessageJson };

/** The operations of an agent, with the JSON of A2A 1.0 for both versions. */
export interface Agent {
  readonly url: string;
  readonly card: AgentCard;
  readonly authHeaders: Record<string, string>;
  /** The owner for whom routes of extensions are called; undefined: the caller. */
  readonly owner?: string | undefined;
  supports: (extension: string) => boolean;
  send: (params: object) => Promise<Sent>;
  stream: (params: object) => AsyncGenerator<StreamEventJson, void, undefined>;
  subscribe: (
    id: string,
    headers: Record<string, string>,
  ) => AsyncGenerator<StreamEventJson, void, undefined>;
  get: (id: string, historyLength?: number) => Promise<TaskJson>;
  list: (params: object) => Promise<{ tasks: TaskJson[]; nextPageToken: string }>;
  cancel: (id: string) => Promise<TaskJson>;
  /** Deletes all webhooks of a task. */
  deleteWebhooks: (taskId: string) => Promise<void>;
}

const legacyCompat = { enabled: true };
const transports = [
  new JsonRpcTransportFactory({ fetchImpl: request, legacyCompat }),
  new RestTransportFactory({ fetchImpl: request, legacyCompat }),
];

/**
 * @param signal ends all calls
 * @throws {CliError} if the agent has no card, or no binding that is supported
 */
export async function connect({ url, apiKey }: Target, signal: AbortSignal): Promise<Agent> {
  const { card } = await fetchCard(url, signal);
  const names = transports.map(({ protocolName }) => protocolName);
  const offered = card.supportedInterfaces.map(({ protocolBinding }) => protocolBinding.toUpperCase());
  if (!offered.some((name) => names.includes(name))) {
    throw new CliError(
      `${card.name} offers ${offered.join(', ') || 'no binding'}: expected ${names.join(' or ')}`,
    );
  }
  const client = await new ClientFactory({ transports }).createFromAgentCard(card);
  for (const { protocolBinding, url: endpoint } of card.supportedInterfaces) {
    if (names.includes(protocolBinding.toUpperCase())) checkEndpoint(url, endpoint, apiKey);
  }
  const authHeaders = createAuthHeaders(card, apiKey);
  const options = { signal, serviceParameters: authHeaders };
  const extensions = card.capabilities?.extensions ?? [];
  return {
    url,
    card,
    authHeaders,
    supports: (extension) => extensions.some(({ uri }) => uri === extension),
    send: async (params) => {
      const sent = await client.sendMessage(SendMessageRequest.fromJSON(params), options);
      return 'status' in sent
        ? { task: Task.toJSON(sent) as TaskJson }
        : { message: Message.toJSON(sent) as MessageJson };
    },
    stream: (params) => toJson(client.sendMessageStream(SendMessageRequest.fromJSON(params), options)),
    subscribe: (id, headers) =>
      toJson(
        client.resubscribeTask(SubscribeToTaskRequest.fromJSON({ id }), {
          ...options,
          serviceParameters: { ...authHeaders, ...headers },
        }),
      ),
    get: async (id, historyLength) => {
      const params = { id, ...(historyLength !== undefined && { historyLength }) };
      return Task.toJSON(await client.getTask(GetTaskRequest.fromJSON(params), options)) as TaskJson;
    },
    list: async (params) => {
      const page = await client.listTasks(ListTasksRequest.fromJSON(params), options);
      return ListTasksResponse.toJSON(page) as { tasks: TaskJson[]; nextPageToken: string };
    },
    cancel: async (id) =>
      Task.toJSON(await client.cancelTask(CancelTaskRequest.fromJSON({ id }), options)) as TaskJson,
    deleteWebhooks: async (taskId) => {
      const list = ListTaskPushNotificationConfigsRequest.fromJSON({ taskId });
      const { configs } = await client.listTaskPushNotificationConfig(list, options);
      for (const { id } of configs) {
        const request = DeleteTaskPushNotificationConfigRequest.fromJSON({ taskId, id });
        await client.deleteTaskPushNotificationConfig(request, options);
      }
    },
  };
}

async function* toJson(
  events: AsyncIterable<StreamResponse>,
): AsyncGenerator<StreamEventJson, void, undefined> {
  for await (const event of events) yield StreamResponse.toJSON(event) as StreamEventJson;
}
