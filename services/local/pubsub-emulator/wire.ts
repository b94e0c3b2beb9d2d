/**
 * The gRPC definitions of the Pub/Sub API, loaded from the protos of the client library, and the types of
 * their decoded messages. Only the fields that the emulator reads or writes are typed. Others (labels,
 * storage policies …) are passed through unchanged.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fromJSON, type PackageDefinition } from '@grpc/proto-loader';
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { WireDuration } from '../emulator/duration.ts';

export interface WireMessage {
  data: Buffer;
  attributes: Record<string, string>;
  messageId: string;
  publishTime: WireDuration | null;
  orderingKey: string;
}

export interface ReceivedMessage {
  ackId: string;
  message: WireMessage;
  /** 0 if the subscription has no dead-letter policy. */
  deliveryAttempt: number;
}

export interface WireTopic {
  name: string;
  labels: Record<string, string>;
  state: string;
  [field: string]: unknown;
}

export interface WirePushConfig {
  pushEndpoint: string;
  attributes: Record<string, string>;
  oidcToken?: { serviceAccountEmail: string; audience: string } | null;
  noWrapper?: unknown;
}

export interface DeadLetterPolicy {
  deadLetterTopic: string;
  maxDeliveryAttempts: number;
}

export interface RetryPolicy {
  minimumBackoff: WireDuration | null;
  maximumBackoff: WireDuration | null;
}

export interface SubscriptionSettings {
  name: string;
  topic: string;
  /** A pull subscription has no endpoint. */
  pushConfig: WirePushConfig | null;
  ackDeadlineSeconds: number;
  messageRetentionDuration: WireDuration | null;
  filter: string;
  deadLetterPolicy: DeadLetterPolicy | null;
  retryPolicy: RetryPolicy | null;
  state: string;
  [field: string]: unknown;
}

export interface StreamingPullRequest {
  subscription: string;
  ackIds: string[];
  modifyDeadlineSeconds: number[];
  modifyDeadlineAckIds: string[];
  streamAckDeadlineSeconds: number;
  maxOutstandingMessages: number;
  maxOutstandingBytes: number;
}

export interface StreamingPullResponse {
  receivedMessages?: ReceivedMessage[];
  subscriptionProperties?: { exactlyOnceDeliveryEnabled: boolean; messageOrderingEnabled: boolean };
}

interface Services {
  publisher: ServiceDefinition;
  subscriber: ServiceDefinition;
}

let loaded: Services | undefined;

/** Returns the services of `google.pubsub.v1`. The first call loads them, which takes about 40 ms. */
export function loadServices(): Services {
  return (loaded ??= readServices());
}

function readServices(): Services {
  const require = createRequire(import.meta.url);
  const protos = require.resolve('@google-cloud/pubsub/build/protos/protos.json');
  const definition = fromJSON(JSON.parse(readFileSync(protos, 'utf8')), {
    longs: Number,
    enums: String,
    defaults: true,
  });
  return {
    publisher: getService(definition, 'google.pubsub.v1.Publisher'),
    subscriber: getService(definition, 'google.pubsub.v1.Subscriber'),
  };
}

function getService(definition: PackageDefinition, name: string): ServiceDefinition {
  const found = definition[name];
  if (!found || 'format' in found) throw new Error(`${name} is not in the protos of @google-cloud/pubsub`);
  return found;
}
