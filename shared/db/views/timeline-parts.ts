/** Parts of a timeline: what has changed since an earlier part. A reader merges them by the keys of their entries. */
import { hash } from 'node:crypto';
import { isTerminal } from '../../domain/task.ts';
import type { Timeline } from '../../domain/views.ts';

/** Entries are committed some time after the time that they state. */
const marginMs = 10_000;

/** The fields of entries that state when they changed last. */
interface Entry {
  /** In events. */
  at?: string;
  /** In turns, attempts and steps. */
  endedAt?: string;
  /** In deliveries. */
  settledAt?: string;
  outcome?: string;
}

/** Selects entries of a timeline. A turn also stays for the sake of its attempts and steps. */
function select(timeline: Timeline, isWanted: (list: string, entry: Entry) => boolean): Timeline {
  const { turns, events, deliveries } = timeline;
  return {
    ...timeline,
    turns: turns.flatMap((turn) => {
      const { attempts, steps, ...own } = turn;
      const wanted = {
        ...own,
        attempts: attempts.filter((entry) => isWanted(`attempts ${turn.turn}`, entry)),
        steps: steps.filter((entry) => isWanted(`steps ${turn.turn}`, entry)),
      };
      const isSelf = isWanted('turns', own);
      return isSelf || wanted.attempts.length + wanted.steps.length > 0 ? [wanted] : [];
    }),
    events: events.filter((entry) => isWanted('events', entry)),
    deliveries: deliveries.filter((entry) => isWanted('deliveries', entry)),
  };
}

/**
 * Selects the entries that are not in `sent`, the digests of those that a reader has. Digests are smaller than entries,
 * of which a timeline may have some thousands.
 */
export function selectUnsent(
  timeline: Timeline,
  sent: ReadonlySet<string>,
): { part: Timeline; digests: Set<string> } {
  const digests = new Set<string>();
  const part = select(timeline, (list, entry) => {
    const digest = hash('sha1', list + JSON.stringify(entry), 'base64url');
    digests.add(digest);
    return !sent.has(digest);
  });
  return { part, digests };
}

/**
 * Selects what may have changed since a time: open entries, and those that ended around it or later. The end of a
 * crashed attempt is that of its lease, and becomes known later.
 *
 * @param since milliseconds since 1970, by the clock of the database
 */
export function selectSince(timeline: Timeline, since: number): Timeline {
  return select(timeline, (_list, { at, endedAt, settledAt, outcome }) => {
    const changed = at ?? endedAt ?? settledAt;
    return changed === undefined || outcome === 'crashed' || Date.parse(changed) >= since - marginMs;
  });
}

/** Returns whether nothing of a timeline can change any more, unless a delivery is repeated. */
export function isFinal({ state, deliveries }: Timeline): boolean {
  return isTerminal(state) && deliveries.every((delivery) => delivery.state !== 'pending');
}

/** Returns the time of the last change of a final timeline, in milliseconds since 1970. */
export function getFinalTime({ statusAt, deliveries }: Timeline): number {
  const times = [statusAt, ...deliveries.flatMap(({ settledAt = [] }) => settledAt)];
  return Math.max(...times.map((time) => Date.parse(time)));
}
