/** A webhook of a task: its health, and its deliveries with every attempt and what the receiver answered. */
import type { JSX } from 'preact';
import { listDeliveries, redeliverEvent, redeliverSince, testWebhook } from '../api/calls.ts';
import type { Delivery, Webhook } from '../lib/types.ts';
import { formatDuration } from '../lib/format.ts';
import { deliveryTones } from '../lib/states.ts';
import { Button, ErrorNote, Pill, Skeleton, Time } from './basics.tsx';
import { useData, usePoll } from './data.ts';
import { act } from './toast.tsx';

const pollMs = 2_000;

interface WebhookCardProps {
  taskId: string;
  webhook: Webhook;
  onChange: () => void;
}

export function WebhookCard({ taskId, webhook, onChange }: WebhookCardProps): JSX.Element {
  const { id, url, state, events, order, failuresInARow, disabledReason, createdAt } = webhook;
  const deliveries = useData(() => listDeliveries(taskId, id), [taskId, id]);
  usePoll(deliveries.reload, pollMs);
  const run = async (action: () => Promise<{ count: number }>, what: string): Promise<void> => {
    await act(action, ({ count }) =>
      count === 1 ? `1 ${what} is on its way.` : `${count} ${what}s are on their way.`,
    );
    deliveries.reload();
    onChange();
  };
  return (
    <article class="card webhook">
      <header class="card-head">
        <h2 class="mono">{url}</h2>
        <Pill tone={state === 'disabled' ? 'bad' : failuresInARow > 0 ? 'wait' : 'good'}>
          {state === 'disabled'
            ? 'Disabled'
            : failuresInARow > 0
              ? `${failuresInARow} failures in a row`
              : 'Healthy'}
        </Pill>
        <div class="actions">
          <Button
            onClick={() => void run(() => testWebhook(taskId, id), 'test')}
            disabled={state === 'disabled'}
          >
            Send a test
          </Button>
          <Button
            icon="refresh"
            onClick={() => void run(() => redeliverSince(taskId, id, createdAt), 'delivery')}
          >
            Redeliver all failed
          </Button>
        </div>
      </header>
      {disabledReason !== undefined && (
        <div class="note bad">
          <p>{disabledReason}. A redelivery that succeeds enables it again.</p>
        </div>
      )}
      <p class="hint">
        Events: {events}. Order: {order}.{' '}
        {webhook.hasSecret ? 'Signed with a secret.' : 'Signed with the public key.'}
      </p>
      {deliveries.error !== undefined && <ErrorNote error={deliveries.error} retry={deliveries.reload} />}
      {deliveries.data === undefined ? (
        <Skeleton />
      ) : deliveries.data.deliveries.length === 0 ? (
        <p class="hint">No event of this task has been selected for it so far.</p>
      ) : (
        <ol class="deliveries">
          {deliveries.data.deliveries.map((delivery) => (
            <DeliveryLine
              key={delivery.webhookId}
              delivery={delivery}
              onRedeliver={(event) => void run(() => redeliverEvent(taskId, id, event), 'delivery')}
            />
          ))}
        </ol>
      )}
    </article>
  );
}

interface DeliveryLineProps {
  delivery: Delivery;
  onRedeliver: (event: number) => void;
}

function DeliveryLine({ delivery, onRedeliver }: DeliveryLineProps): JSX.Element {
  const { event, state, attempts, createdAt, dueAt, deferredReason } = delivery;
  return (
    <li>
      <details>
        <summary>
          <span class="delivery-name">{event === undefined ? 'Test' : `Event ${event}`}</span>
          <Pill tone={deliveryTones[state]}>{state}</Pill>
          <span class="hint">
            {attempts.length} {attempts.length === 1 ? 'attempt' : 'attempts'}
          </span>
          <Time at={createdAt} />
        </summary>
        {dueAt !== undefined && (
          <p class="hint">
            Next attempt: <Time at={dueAt} as="clock" />
            {deferredReason !== undefined && `, deferred: ${deferredReason}`}
          </p>
        )}
        <ul class="attempts">
          {attempts.map(({ attempt, startedAt, durationMs, status, error, responseStart }) => (
            <li key={attempt}>
              <span class="mono">#{attempt}</span>
              <Pill tone={status !== undefined && status >= 200 && status < 300 ? 'good' : 'bad'}>
                {status ?? 'no answer'}
              </Pill>
              <Time at={startedAt} as="clock" />
              <span class="hint">{formatDuration(durationMs)}</span>
              {(error ?? responseStart) !== undefined && <pre class="plain">{error ?? responseStart}</pre>}
            </li>
          ))}
        </ul>
        {event !== undefined && state !== 'pending' && (
          <Button icon="refresh" onClick={() => onRedeliver(event)}>
            Redeliver event {event}
          </Button>
        )}
      </details>
    </li>
  );
}
