/**
 * The screens of the console, in the order of the navigation. A new screen is a line here, and a route in app.tsx; its
 * files are in `screens/NAME/`.
 */
import type { Scope } from '#shared/domain/scopes.ts';
import { hasScope } from '../api/session.ts';
import type { IconName } from '../ui/icons.tsx';

export interface ScreenEntry {
  path: string;
  name: string;
  icon: IconName;
  /** Pressed after `g`. */
  key: string;
  /** Other words for it, for the palette. */
  words: string;
  /** Default: everyone sees it. */
  scope?: Scope;
}

const all: readonly ScreenEntry[] = [
  { path: '/', name: 'Tasks', icon: 'tasks', key: 't', words: 'list runs jobs' },
  { path: '/inbox', name: 'Inbox', icon: 'inbox', key: 'i', words: 'approve answer questions waiting' },
  { path: '/new', name: 'New task', icon: 'plus', key: 'n', words: 'send create message' },
  { path: '/webhooks', name: 'Webhooks', icon: 'webhook', key: 'w', words: 'deliveries redeliver' },
  { path: '/schedules', name: 'Schedules', icon: 'clock', key: 's', words: 'cron interval' },
  { path: '/usage', name: 'Usage', icon: 'chart', key: 'u', words: 'cost tokens stats' },
  { path: '/agent', name: 'Agent', icon: 'agent', key: 'a', words: 'card signature wire log' },
  {
    path: '/operations',
    name: 'Operations',
    icon: 'gauge',
    key: 'o',
    words: 'queue workers leases limits quotas hosts',
    scope: 'operator',
  },
];

/** Those that the credential of the user may show. */
export function listScreens(): ScreenEntry[] {
  return all.filter(({ scope }) => scope === undefined || hasScope(scope));
}
