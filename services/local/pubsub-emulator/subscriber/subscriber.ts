/** Implements `google.pubsub.v1.Subscriber`. */
import type { Broker } from '../broker/broker.ts';
import { checkPubSubName, checkProject } from '../names.ts';
import { createPullHandler } from './pull.ts';
import { updateSubscriptionSettings, createSubscriptionSettings } from '../settings.ts';
import { invalid } from '../../emulator/status.ts';
import { createStreamingPullHandler } from './streaming-pull.ts';
import type { Subscription } from '../broker/subscription.ts';
import { getPage, createUnaryHandler, type PageRequest } from '../../emulator/grpc.ts';
import type { WirePushConfig, SubscriptionSettings } from '../wire.ts';

interface UpdateRequest {
  subscription: SubscriptionSettings;
  updateMask: { paths: string[] } | null;
}

export function createSubscriberHandlers(broker: Broker) {
  const find = (name: string): Subscription => {
    checkPubSubName(name, 'subscriptions');
    return broker.subscription(name);
  };
  return {
    CreateSubscription: createUnaryHandler((request: SubscriptionSettings) =>
      broker.createSubscription(createSubscriptionSettings(request)),
    ),

    GetSubscription: createUnaryHandler(
      ({ subscription }: { subscription: string }) => find(subscription).settings,
    ),

    UpdateSubscription: createUnaryHandler(({ subscription, updateMask }: UpdateRequest) => {
      const current = find(subscription.name);
      const changed = updateSubscriptionSettings(current.settings, subscription, updateMask?.paths ?? []);
      return broker.changeSubscription(current, changed);
    }),

    ModifyPushConfig: createUnaryHandler(
      (request: { subscription: string; pushConfig: WirePushConfig | null }) => {
        const current = find(request.subscription);
        const requested = { ...current.settings, pushConfig: request.pushConfig };
        broker.changeSubscription(
          current,
          updateSubscriptionSettings(current.settings, requested, ['push_config']),
        );
        return {};
      },
    ),

    ListSubscriptions: createUnaryHandler((request: PageRequest & { project: string }) => {
      checkProject(request.project);
      const inProject = [...broker.subscriptions()].filter((name) => name.startsWith(`${request.project}/`));
      const { names, nextPageToken } = getPage(inProject, request, { fallback: 100 });
      return { subscriptions: names.map((name) => broker.subscription(name).settings), nextPageToken };
    }),

    DeleteSubscription: createUnaryHandler(({ subscription }: { subscription: string }) => {
      checkPubSubName(subscription, 'subscriptions');
      broker.deleteSubscription(subscription);
      return {};
    }),

    Acknowledge: createUnaryHandler(
      ({ subscription, ackIds }: { subscription: string; ackIds: string[] }) => {
        find(subscription).acknowledge(requireAckIds(ackIds));
        return {};
      },
    ),

    ModifyAckDeadline: createUnaryHandler(
      (request: { subscription: string; ackIds: string[]; ackDeadlineSeconds: number }) => {
        find(request.subscription).modifyDeadline(requireAckIds(request.ackIds), request.ackDeadlineSeconds);
        return {};
      },
    ),

    Pull: createPullHandler(find),

    StreamingPull: createStreamingPullHandler(find),
  };
}

function requireAckIds(ackIds: string[]): string[] {
  if (ackIds.length === 0) throw invalid('The request has no ack ids: expected at least one.');
  return ackIds;
}
