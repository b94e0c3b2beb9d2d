/** Webhooks: those of all tasks, the disabled and failing ones first; redelivery of many with a dry run. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Link, useLocation, useSearch } from 'wouter-preact';
import { listAllWebhooks } from '../../api/calls.ts';
import type { ListedWebhook, WebhookHealth } from '../../lib/types.ts';
import { shortId } from '../../lib/format.ts';
import { Button, Empty, ErrorNote, Page, Pill, Skeleton, Time } from '../../ui/basics.tsx';
import { useData, usePoll } from '../../ui/data.ts';
import { WebhookCard } from '../../ui/deliveries.tsx';
import { RedeliverDialog } from './redeliver.tsx';

const pollMs = 3_000;
const healths = { '': 'All', disabled: 'Disabled', failing: 'Failing', ok: 'Healthy' } as const;
const tones = { ok: 'good', failing: 'wait', disabled: 'bad' } as const;

export function WebhooksScreen(): JSX.Element {
  const [, navigate] = useLocation();
  useSearch();
  const params = new URLSearchParams(location.search);
  const health = params.get('health') ?? '';
  const host = params.get('host') ?? '';
  const { data, error, reload } = useData(() => listAllWebhooks(createQuery(health, host)), [health, host]);
  const [open, setOpen] = useState<string | undefined>();
  const [redelivering, setRedelivering] = useState(false);
  usePoll(reload, pollMs);
  const filter = (next: { health: string; host: string }): void => {
    const query = createQuery(next.health, next.host);
    query.delete('pageSize');
    navigate(query.size === 0 ? '/webhooks' : `/webhooks?${query}`, { replace: true });
  };
  const webhooks = data?.webhooks ?? [];
  return (
    <Page
      title="Webhooks"
      actions={
        <Button icon="refresh" onClick={() => setRedelivering(true)}>
          Redeliver what failed
        </Button>
      }
    >
      <div class="filters">
        <div class="chips" role="group" aria-label="Health">
          {Object.entries(healths).map(([value, name]) => (
            <button
              key={value}
              type="button"
              class={`chip ${tones[value as WebhookHealth] ?? 'neutral'}`}
              aria-pressed={health === value}
              onClick={() => filter({ health: value, host })}
            >
              {name}
            </button>
          ))}
        </div>
        <input
          type="search"
          placeholder="Host of the receiver"
          aria-label="Host of the receiver"
          value={host}
          onChange={(event) => filter({ health, host: event.currentTarget.value.trim() })}
        />
      </div>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {data === undefined ? (
        error === undefined && <Skeleton lines={8} />
      ) : webhooks.length === 0 ? (
        <Empty
          icon="webhook"
          title={health === '' && host === '' ? 'No webhooks' : 'No webhook meets this filter'}
        >
          <p>
            A task has a webhook if its message names one, or if one is added later. The screen “New task” has
            a field for it.
          </p>
        </Empty>
      ) : (
        <ul class="webhook-list">
          {webhooks.map((webhook) => {
            const key = `${webhook.taskId} ${webhook.id}`;
            return (
              <li key={key}>
                <Line
                  webhook={webhook}
                  isOpen={open === key}
                  onOpen={() => setOpen(open === key ? undefined : key)}
                />
                {open === key && <WebhookCard taskId={webhook.taskId} webhook={webhook} onChange={reload} />}
              </li>
            );
          })}
        </ul>
      )}
      {(data?.nextPageToken ?? '') !== '' && (
        <p class="hint">The first 100 are shown. Filter by health or host to see others.</p>
      )}
      {redelivering && (
        <RedeliverDialog
          host={host}
          health={health === 'failing' || health === 'disabled' ? health : undefined}
          onClose={() => setRedelivering(false)}
          onDone={() => {
            setRedelivering(false);
            reload();
          }}
        />
      )}
    </Page>
  );
}

function Line({
  webhook,
  isOpen,
  onOpen,
}: {
  webhook: ListedWebhook;
  isOpen: boolean;
  onOpen: () => void;
}): JSX.Element {
  const { url, taskId, health, failuresInARow, lastAttempt, createdAt } = webhook;
  return (
    <div class="webhook-line">
      <Pill tone={tones[health]}>
        {health === 'failing' ? `${failuresInARow} failures` : healths[health]}
      </Pill>
      <button type="button" class="link mono webhook-url" aria-expanded={isOpen} onClick={onOpen}>
        {url}
      </button>
      <Link href={`/tasks/${taskId}/webhooks`} class="mono">
        {shortId(taskId)}
      </Link>
      <span class="hint">
        <Time at={lastAttempt?.startedAt ?? createdAt} />
      </span>
    </div>
  );
}

function createQuery(health: string, host: string): URLSearchParams {
  const query = new URLSearchParams({ pageSize: '100' });
  if (health !== '') query.set('health', health);
  if (host !== '') query.set('host', host);
  return query;
}
