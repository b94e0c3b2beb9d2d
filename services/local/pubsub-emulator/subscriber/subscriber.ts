/** `google.pubsub.v1.Subscriber`, all but the stream. */
import type { Broker } from '../broker/broker.ts';
import { checkName, checkProject } from '../names.ts';
import { pull } from './pull.ts';
import { changedSubscription, newSubscription } from '../settings.ts';
import { invalid } from '../status.ts';
import { streamingPull } from './streaming-pull.ts';
import type { Subscription } from '../broker/subscription.ts';
import { page, unary } from '../unary.ts';
import type { PushConfig, SubscriptionSettings } from '../wire.ts';

interface UpdateRequest {
  subscription: SubscriptionSettings;
  updateMask: { paths: string[] } | null;
}

export function subscriberHandlers(broker: Broker) {
  const named = (name: string): Subscription => {
    checkName(name, 'subscriptions');
    return broker.subscription(name);
  };
  return {
    CreateSubscription: unary((request: SubscriptionSettings) =>
      broker.createSubscription(newSubscription(request)),
    ),

    GetSubscription: unary(({ subscription }: { subscription: string }) => named(subscription).settings),

    UpdateSubscription: unary(({ subscription, updateMask }: UpdateRequest) => {
      const current = named(subscription.name);
      const changed = changedSubscription(current.settings, subscription, updateMask?.paths ?? []);
      return broker.changeSubscription(current, changed);
    }),

    ModifyPushConfig: unary((request: { subscription: string; pushConfig: PushConfig | null }) => {
      const current = named(request.subscription);
      const wanted = { ...current.settings, pushConfig: request.pushConfig };
      broker.changeSubscription(current, changedSubscription(current.settings, wanted, ['push_config']));
      return {};
    }),

    ListSubscriptions: unary((request: { project: string; pageSize: number; pageToken: string }) => {
      checkProject(request.project);
      const inProject = [...broker.subscriptions()].filter((name) => name.startsWith(`${request.project}/`));
      const { names, nextPageToken } = page(inProject, request);
      return { subscriptions: names.map((name) => broker.subscription(name).settings), nextPageToken };
    }),

    DeleteSubscription: unary(({ subscription }: { subscription: string }) => {
      checkName(subscription, 'subscriptions');
      broker.deleteSubscription(subscription);
      return {};
    }),

    Acknowledge: unary(({ subscription, ackIds }: { subscription: string; ackIds: string[] }) => {
      named(subscription).acknowledge(someAckIds(ackIds));
      return {};
    }),

    ModifyAckDeadline: unary(
      (request: { subscription: string; ackIds: string[]; ackDeadlineSeconds: number }) => {
        named(request.subscription).modifyDeadline(someAckIds(request.ackIds), request.ackDeadlineSeconds);
        return {};
      },
    ),

    Pull: pull(named),

    StreamingPull: streamingPull(named),
  };
}

function someAckIds(ackIds: string[]): string[] {
  if (ackIds.length === 0) throw invalid('No ack ids specified.');
  return ackIds;
}
