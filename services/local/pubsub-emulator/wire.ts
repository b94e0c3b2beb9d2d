/**
 * The Pub/Sub API on the wire: the service definitions, read from the protos that ship inside the client library, and
 * the types of what their messages decode to. Only the fields that the emulator reads or writes are typed; the others
 * (labels, storage policies …) pass through untouched.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fromJSON, type PackageDefinition } from '@grpc/proto-loader';
import type { ServiceDefinition } from '@grpc/grpc-js';

export interface Duration {
  seconds: number;
  nanos: number;
}

export interface WireMessage {
  data: Buffer;
  attributes: Record<string, string>;
  messageId: string;
  publishTime: Duration | null;
  orderingKey: string;
}

export interface ReceivedMessage {
  ackId: string;
  message: WireMessage;
  /** 0 where the subscription has no dead-letter policy. */
  deliveryAttempt: number;
}

export interface Topic {
  name: string;
  labels: Record<string, string>;
  state: string;
  [field: string]: unknown;
}

export interface PushConfig {
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
  minimumBackoff: Duration | null;
  maximumBackoff: Duration | null;
}

export interface SubscriptionSettings {
  name: string;
  topic: string;
  /** Without an endpoint: a pull subscription. */
  pushConfig: PushConfig | null;
  ackDeadlineSeconds: number;
  messageRetentionDuration: Duration | null;
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

/** The services of `google.pubsub.v1` by name. Takes about 40 ms: once for each process. */
export function loadServices(): { publisher: ServiceDefinition; subscriber: ServiceDefinition } {
  const require = createRequire(import.meta.url);
  const protos = require.resolve('@google-cloud/pubsub/build/protos/protos.json');
  const definition = fromJSON(JSON.parse(readFileSync(protos, 'utf8')), {
    longs: Number,
    enums: String,
    defaults: true,
  });
  return {
    publisher: service(definition, 'google.pubsub.v1.Publisher'),
    subscriber: service(definition, 'google.pubsub.v1.Subscriber'),
  };
}

function service(definition: PackageDefinition, name: string): ServiceDefinition {
  const found = definition[name];
  if (!found || 'format' in found) throw new Error(`${name} is not in the protos of @google-cloud/pubsub`);
  return found;
}

export function milliseconds(duration: Duration | null | undefined): number | undefined {
  return duration ? duration.seconds * 1000 + duration.nanos / 1e6 : undefined;
}

export function timestamp(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}
