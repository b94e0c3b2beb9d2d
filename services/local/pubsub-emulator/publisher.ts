/** `google.pubsub.v1.Publisher`. */
import type { Broker, MessageContent } from './broker/broker.ts';
import { checkName, checkProject } from './names.ts';
import { changedTopic, newTopic } from './settings.ts';
import { invalid, unimplemented } from './status.ts';
import { page, unary } from './unary.ts';
import type { Topic, WireMessage } from './wire.ts';

const MAX_MESSAGES = 1000;
const MAX_BYTES = 10 * 1024 * 1024;
const MAX_ATTRIBUTES = 100;
const MAX_KEY_BYTES = 256;
const MAX_VALUE_BYTES = 1024;

interface Paged {
  pageSize: number;
  pageToken: string;
}

export function publisherHandlers(broker: Broker) {
  return {
    CreateTopic: unary((request: Topic) => broker.createTopic(newTopic(request))),

    UpdateTopic: unary(({ topic, updateMask }: { topic: Topic; updateMask: { paths: string[] } | null }) => {
      const entry = broker.topic(topic.name);
      entry.topic = changedTopic(entry.topic, topic, updateMask?.paths ?? []);
      return entry.topic;
    }),

    GetTopic: unary(({ topic }: { topic: string }) => broker.topic(checkedTopic(topic)).topic),

    ListTopics: unary((request: Paged & { project: string }) => {
      checkProject(request.project);
      const inProject = [...broker.topics()].filter((name) => name.startsWith(`${request.project}/`));
      const { names, nextPageToken } = page(inProject, request);
      return { topics: names.map((name) => broker.topic(name).topic), nextPageToken };
    }),

    ListTopicSubscriptions: unary((request: Paged & { topic: string }) => {
      const { subscriptions } = broker.topic(checkedTopic(request.topic));
      const all = [...subscriptions].map((subscription) => subscription.settings.name);
      const { names, nextPageToken } = page(all, request);
      return { subscriptions: names, nextPageToken };
    }),

    DeleteTopic: unary(({ topic }: { topic: string }) => {
      broker.deleteTopic(checkedTopic(topic));
      return {};
    }),

    Publish: unary(({ topic, messages }: { topic: string; messages: WireMessage[] }) => ({
      messageIds: broker.publish(checkedTopic(topic), checkedMessages(messages)),
    })),
  };
}

function checkedTopic(name: string): string {
  checkName(name, 'topics');
  return name;
}

function checkedMessages(messages: readonly WireMessage[]): MessageContent[] {
  if (messages.length === 0) throw invalid('The value for message_count is too small: no message was given.');
  if (messages.length > MAX_MESSAGES) {
    throw invalid(`Too many messages: ${messages.length} were given, and ${MAX_MESSAGES} are allowed.`);
  }
  let total = 0;
  const contents = messages.map(({ data, attributes, orderingKey }) => {
    if (orderingKey !== '') throw unimplemented('ordering keys');
    const size = data.length + attributesSize(attributes);
    if (size === 0) {
      throw invalid('Some messages are empty: each message must have data or at least one attribute.');
    }
    total += size;
    return { data, attributes, size };
  });
  if (total > MAX_BYTES) throw invalid(`Request payload size exceeds the limit: ${MAX_BYTES} bytes.`);
  return contents;
}

function attributesSize(attributes: Readonly<Record<string, string>>): number {
  let size = 0;
  let count = 0;
  for (const key in attributes) {
    const keyBytes = Buffer.byteLength(key);
    const valueBytes = Buffer.byteLength(attributes[key] ?? '');
    if (keyBytes === 0 || keyBytes > MAX_KEY_BYTES || key.startsWith('goog')) {
      throw invalid(
        `The attribute key "${key}" must have 1 to ${MAX_KEY_BYTES} bytes and not begin with "goog".`,
      );
    }
    if (valueBytes > MAX_VALUE_BYTES) {
      throw invalid(
        `The value of the attribute "${key}" is too long: at most ${MAX_VALUE_BYTES} bytes are allowed.`,
      );
    }
    size += keyBytes + valueBytes;
    count += 1;
  }
  if (count > MAX_ATTRIBUTES) throw invalid(`Too many attributes: ${MAX_ATTRIBUTES} are allowed.`);
  return size;
}
