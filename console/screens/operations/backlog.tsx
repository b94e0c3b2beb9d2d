/** How much work waits, and for how long. */
import type { JSX } from 'preact';
import { formatCount, formatDuration } from '../../lib/format.ts';
import type { Backlog } from '../../lib/types.ts';
import { Figure, Skeleton } from '../../ui/basics.tsx';

/** Counts stop here. */
const mostCounted = 10_000;

export function BacklogFigures({ backlog }: { backlog: Backlog | undefined }): JSX.Element {
  return (
    <section class="card" aria-label="Backlog">
      <h2>Backlog</h2>
      {backlog === undefined ? (
        <Skeleton lines={3} />
      ) : (
        <dl class="figures">
          {listFigures(backlog).map(([name, value]) => (
            <Figure key={name} name={name} value={value} />
          ))}
        </dl>
      )}
    </section>
  );
}

function listFigures(backlog: Backlog): [name: string, value: string][] {
  return [
    ['Turns that wait', count(backlog.turnsWaiting)],
    ['Oldest of them', age(backlog.turnsWaitingAge)],
    ['Turns that run', count(backlog.turnsLeased)],
    ['Turns for later', count(backlog.turnsDelayed)],
    ['In queues of owners', count(backlog.turnsQueued)],
    ['Owners at their limit', count(backlog.ownersLimited)],
    ['Without a worker of their version', count(backlog.turnsUnserved)],
    ['Turn late by', age(backlog.turnsStalledAge)],
    ['Oldest in the outbox', age(backlog.outboxAge)],
    ['Webhooks that wait', count(backlog.webhooksPending)],
    ['Webhook late by', age(backlog.webhooksStalledAge)],
  ];
}

const count = (value: number): string =>
  value < mostCounted ? formatCount(value) : `${mostCounted / 1000}k+`;
const age = (seconds: number): string => (seconds === 0 ? '–' : formatDuration(seconds * 1000));
