/** Implements `google.pubsub.v1.Publisher`. */
import type { Broker, MessageContent } from './broker/broker.ts';
import { checkPubSubName, checkProject } from './names.ts';
import { updateTopicSettings, createTopicSettings } from './settings.ts';
import { invalid, unimplemented } from '../emulator/status.ts';
import { getPage, createUnaryHandler, type PageRequest } from '../emulator/grpc.ts';
import type { WireTopic, WireMessage } from './wire.ts';

const maxMessages = 1000;
const maxBytes = 10 * 1024 * 1024;
const maxAttributes = 100;
const maxKeyBytes = 256;
const maxValueBytes = 1024;

export function createPublisherHandlers(broker: Broker) {
  return {
    CreateTopic: createUnaryHandler((request: WireTopic) => broker.createTopic(createTopicSettings(request))),

    UpdateTopic: createUnaryHandler(
      ({ topic, updateMask }: { topic: WireTopic; updateMask: { paths: string[] } | null }) => {
        const entry = broker.topic(topic.name);
        entry.topic = updateTopicSettings(entry.topic, topic, updateMask?.paths ?? []);
        return entry.topic;
      },
    ),

    GetTopic: createUnaryHandler(({ topic }: { topic: string }) => broker.topic(parseTopicName(topic)).topic),

    ListTopics: createUnaryHandler((request: PageRequest & { project: string }) => {
      checkProject(request.project);
      const inProject = [...broker.topics()].filter((name) => name.startsWith(`${request.project}/`));
      const { names, nextPageToken } = getPage(inProject, request, { fallback: 100 });
      return { topics: names.map((name) => broker.topic(name).topic), nextPageToken };
    }),

    ListTopicSubscriptions: createUnaryHandler((request: PageRequest & { topic: string }) => {
      const { subscriptions } = broker.topic(parseTopicName(request.topic));
      const all = [...subscriptions].map((subscription) => subscription.settings.name);
      const { names, nextPageToken } = getPage(all, request, { fallback: 100 });
      return { subscriptions: names, nextPageToken };
    }),

    DeleteTopic: createUnaryHandler(({ topic }: { topic: string }) => {
      broker.deleteTopic(parseTopicName(topic));
      return {};
    }),

    Publish: createUnaryHandler(({ topic, messages }: { topic: string; messages: WireMessage[] }) => ({
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
  if (messages.length > maxMessages) {
    throw invalid(`The request has ${messages.length} messages: expected at most ${maxMessages}.`);
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
  if (total > maxBytes) throw invalid(`The messages are too large: expected at most ${maxBytes} bytes.`);
  return contents;
}

function getAttributesSize(attributes: Readonly<Record<string, string>>): number {
  let size = 0;
  let count = 0;
  for (const key in attributes) {
    const keyBytes = Buffer.byteLength(key);
    const valueBytes = Buffer.byteLength(attributes[key] ?? '');
    if (keyBytes === 0 || keyBytes > maxKeyBytes || key.startsWith('goog')) {
      throw invalid(
        `Invalid attribute key "${key}": expected 1 to ${maxKeyBytes} bytes that do not start with "goog".`,
      );
    }
    if (valueBytes > maxValueBytes) {
      throw invalid(
        `The value of the attribute "${key}" is too long: expected at most ${maxValueBytes} bytes.`,
      );
    }
    size += keyBytes + valueBytes;
    count += 1;
  }
  if (count > maxAttributes)
    throw invalid(`A message has ${count} attributes: expected at most ${maxAttributes}.`);
  return size;
}
