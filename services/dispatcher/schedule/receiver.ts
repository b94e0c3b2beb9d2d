/**
 * The receivers of webhooks. Each is checked and named once, because parsing a URL and comparing hosts takes longer than all
 * limits that an attempt passes.
 */
import { getDestination } from '#shared/net/destination.ts';
import type { WebhookGuardConfig } from '#shared/runtime/config/webhook-guard.ts';
import { checkReceiver } from '#shared/webhooks/destinations.ts';

/** A URL to which webhooks of an owner may be sent. */
export interface Receiver {
  owner: string;
  url: URL;
  origin: string;
  /** Path and query. */
  path: string;
  /** The host, over all of its ports (shared/net/destination.ts). */
  host: string;
  /** Names the host for one owner. */
  ownedHost: string;
  /** Names the URL without its query, for one owner. */
  key: string;
}

export type FoundReceiver = { receiver: Receiver; problem?: undefined } | { problem: string };

/** Returns the receiver of a URL. The problem is a sentence for the owner of the webhook. */
export type FindReceiver = (url: string, owner: string) => FoundReceiver;

/** Beyond this number, all are forgotten. */
const maxKnown = 2_000;

export function createReceivers(guard: WebhookGuardConfig): FindReceiver {
  const known = new Map<string, FoundReceiver>();
  return (url, owner) => {
    const key = JSON.stringify([owner, url]);
    const remembered = known.get(key);
    if (remembered !== undefined) return remembered;
    const found = find(url, owner, guard);
    if (known.size >= maxKnown) known.clear();
    known.set(key, found);
    return found;
  };
}

function find(text: string, owner: string, guard: WebhookGuardConfig): FoundReceiver {
  const checked = checkReceiver(text, owner, guard);
  return 'problem' in checked ? checked : { receiver: toReceiver(owner, checked.url) };
}

export function toReceiver(owner: string, url: URL): Receiver {
  const { origin, pathname, search } = url;
  const host = getDestination(url);
  return {
    owner,
    url,
    origin,
    path: pathname + search,
    host,
    ownedHost: JSON.stringify([owner, host]),
    key: JSON.stringify([owner, origin, pathname]),
  };
}
