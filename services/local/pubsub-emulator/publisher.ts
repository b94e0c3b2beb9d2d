/** Implements `google.pubsub.v1.Publisher`. */
import type { Broker, MessageContent } from './broker/broker.ts';
import { checkPubSubName, checkProject } from './names.ts';
import { updateTopicSettings, createTopicSettings } from './settings.ts';
import { invalid, unimplemented } from '../emulator/status.ts';
import { getPage, unary, type PageRequest } from '../emulator/grpc.ts';
import type { WireTopic, WireMessage } from './wire.ts';

const MAX_MESSAGES = 1000;
const MAX_BYTES = 10 * 1024 * 1024;
const MAX_ATTRIBUTES = 100;
const MAX_KEY_BYTES = 256;
const MAX_VALUE_BYTES = 1024;

export function publisherHandlers(broker: Broker) {
  return {
    CreateTopic: unary((request: WireTopic) => broker.createTopic(createTopicSettings(request))),

    UpdateTopic: unary(
      ({ topic, updateMask }: { topic: WireTopic; updateMask: { paths: string[] } | null }) => {
        const entry = broker.topic(topic.name);
        entry.topic = updateTopicSettings(entry.topic, topic, updateMask?.paths ?? []);
        return entry.topic;
      },
    ),

    GetTopic: unary(({ topic }: { topic: string }) => broker.topic(parseTopicName(topic)).topic),

    ListTopics: unary((request: PageRequest & { project: string }) => {
      checkProject(request.project);
      const inProject = [...broker.topics()].filter((name) => name.startsWith(`${request.project}/`));
      const { names, nextPageToken } = getPage(inProject, request, { fallback: 100 });
      return { topics: names.map((name) => broker.topic(name).topic), nextPageToken };
    }),

    ListTopicSubscriptions: unary((request: PageRequest & { topic: string }) => {
      const { subscriptions } = broker.topic(parseTopicName(request.topic));
      const all = [...subscriptions].map((subscription) => subscription.settings.name);
      const { names, nextPageToken } = getPage(all, request, { fallback: 100 });
      return { subscriptions: names, nextPageToken };
    }),

    DeleteTopic: unary(({ topic }: { topic: string }) => {
      broker.deleteTopic(parseTopicName(topic));
      return {};
    }),

    Publish: unary(({ topic, messages }: { topic: string; messages: WireMessage[] }) => ({
      messageIds: broker.publish(parseTopicName(topic), parseMessages(messages)),
    })),
  };
}

function parseTopicName(name: string): string {
  checkPubSubName(name, 'topics');
  return name;
}

function parseMessages(messages: readonly WireMessage[]): MessageContent[] {
  if (messages.length === 0) throw invalid('The request has no messages: expected at least one.');
  if (messages.length > MAX_MESSAGES) {
    throw invalid(`The request has ${messages.length} messages: expected at most ${MAX_MESSAGES}.`);
  }
  let total = 0;
  const contents = messages.map(({ data, attributes, orderingKey }) => {
    if (orderingKey !== '') throw unimplemented('ordering keys');
    const size = data.length + getAttributesSize(attributes);
    if (size === 0) {
      throw invalid('A message is empty: expected data or at least one attribute.');
    }
    total += size;
    return { data, attributes, size };
  });
  if (total > MAX_BYTES) throw invalid(`The messages are too large: expected at most ${MAX_BYTES} bytes.`);
  return contents;
}

function getAttributesSize(attributes: Readonly<Record<string, string>>): number {
  let size = 0;
  let count = 0;
  for (const key in attributes) {
    const keyBytes = Buffer.byteLength(key);
    const valueBytes = Buffer.byteLength(attributes[key] ?? '');
    if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES || key.startsWith('goog')) {
      throw invalid(
        `Invalid attribute key "${key}": expected 1 to ${MAX_KEY_BYTES} bytes that do not start with "goog".`,
      );
    }
    if (valueBytes > MAX_VALUE_BYTES) {
      throw invalid(
        `The value of the attribute "${key}" is too long: expected at most ${MAX_VALUE_BYTES} bytes.`,
      );
    }
    size += keyBytes + valueBytes;
    count += 1;
  }
  if (count > MAX_ATTRIBUTES)
    throw invalid(`A message has ${count} attributes: expected at most ${MAX_ATTRIBUTES}.`);
  return size;
}
