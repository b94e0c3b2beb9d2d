/** The webhooks of one task. */
import type { JSX } from 'preact';
import { listWebhooks } from '../../api/calls.ts';
import { Empty, ErrorNote, Skeleton } from '../../ui/basics.tsx';
import { useData, usePoll } from '../../ui/data.ts';
import { WebhookCard } from '../../ui/deliveries.tsx';

const pollMs = 2_000;

export function TaskWebhooks({ taskId }: { taskId: string }): JSX.Element {
  const { data, error, reload } = useData(() => listWebhooks(taskId), [taskId]);
  usePoll(reload, pollMs);
  if (error !== undefined) return <ErrorNote error={error} retry={reload} />;
  if (data === undefined) return <Skeleton lines={5} />;
  if (data.webhooks.length === 0) {
    return (
      <Empty icon="webhook" title="This task has no webhook">
        <p>
          Name one in the configuration of the message that starts a task, or add one later with{' '}
          <code>CreateTaskPushNotificationConfig</code>.
        </p>
      </Empty>
    );
  }
  return (
    <>
      {data.webhooks.map((webhook) => (
        <WebhookCard key={webhook.id} taskId={taskId} webhook={webhook} onChange={reload} />
      ))}
    </>
  );
}
