/** One task: what happened when, what was said, what came out of it. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Link, useLocation } from 'wouter-preact';
import { textOf } from '#shared/domain/message.ts';
import { cancelTask, rerunTasks } from '../../api/calls.ts';
import type { Task } from '../../lib/types.ts';
import { formatExactTime, shortId, toLine } from '../../lib/format.ts';
import { isRunning, needsPerson } from '../../lib/states.ts';
import { getRelatives, listWaits } from '../../lib/waits.ts';
import { useKeys } from '../../shell/keys.ts';
import { Button, ErrorNote, Page, Skeleton, StatePill } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Snippets } from '../../ui/snippets.tsx';
import { Tabs } from '../../ui/tabs.tsx';
import { act } from '../../ui/toast.tsx';
import { Artifacts } from './artifacts.tsx';
import { Conversation } from './conversation.tsx';
import { Events } from './events.tsx';
import { Facts } from './facts.tsx';
import { openTask, type TaskView } from './task-state.ts';
import { TimelineChart } from './timeline.tsx';
import { TaskUsage } from './usage.tsx';
import { TaskWebhooks } from './webhooks.tsx';

export function TaskScreen({ id, tab }: { id: string; tab?: string | undefined }): JSX.Element {
  const view = useMemo(() => openTask(id), [id]);
  useEffect(() => view.close, [view]);
  const [, navigate] = useLocation();
  const [dialog, setDialog] = useState<'copy' | 'cancel' | undefined>();
  const { task } = view.streamed.value;
  const path = `/tasks/${id}`;
  const canCancel = task !== undefined && (isRunning(task.status.state) || needsPerson(task.status.state));
  useKeys([
    { keys: 'o', does: 'Overview of the task', run: () => navigate(path) },
    { keys: 'e', does: 'Raw events', run: () => navigate(`${path}/events`) },
    { keys: 'w', does: 'Webhooks of the task', run: () => navigate(`${path}/webhooks`) },
    { keys: 'u', does: 'Usage of the task', run: () => navigate(`${path}/usage`) },
    { keys: 'c', does: 'Copy as curl, CLI or TypeScript', run: () => setDialog('copy') },
    { keys: 'Escape', does: 'Back to the tasks', run: () => navigate('/') },
  ]);
  const title = getTitle(task) ?? `Task ${id}`;
  const deliveries = view.timeline.value?.deliveries.length;
  return (
    <Page
      name={title}
      title={
        <>
          <Link href="/" class="crumb">
            Tasks
          </Link>
          <span class="task-heading">{title}</span>
        </>
      }
      actions={
        <>
          <Button icon="copy" onClick={() => setDialog('copy')} disabled={task === undefined}>
            Copy as
          </Button>
          {task !== undefined && !canCancel && (
            <Button icon="refresh" onClick={() => void act(() => rerun(id, navigate))}>
              Rerun
            </Button>
          )}
          {canCancel && (
            <Button icon="stop" kind="danger" onClick={() => setDialog('cancel')}>
              Cancel
            </Button>
          )}
        </>
      }
    >
      <div class="task-line">
        {task !== undefined && <StatePill state={task.status.state} />}
        {task === undefined && view.error.value === undefined && <Skeleton lines={1} />}
        <span class="mono" title={id}>
          {shortId(id)}
        </span>
        <CopyButton text={id} />
        <Facts task={task} timeline={view.timeline.value} />
      </div>
      <Tabs
        label="Parts of the task"
        current={tab === undefined ? path : `${path}/${tab}`}
        tabs={[
          { href: path, label: 'Overview' },
          { href: `${path}/events`, label: 'Events' },
          { href: `${path}/webhooks`, label: 'Webhooks', count: deliveries },
          { href: `${path}/usage`, label: 'Usage' },
        ]}
      />
      {view.error.value !== undefined && <ErrorNote error={view.error.value} retry={view.refresh} />}
      {tab === 'events' ? (
        <Events taskId={id} />
      ) : tab === 'webhooks' ? (
        <TaskWebhooks taskId={id} />
      ) : tab === 'usage' ? (
        <TaskUsage timeline={view.timeline.value} />
      ) : (
        view.error.value === undefined && <Overview view={view} />
      )}
      {dialog === 'copy' && task !== undefined && <CopyAs task={task} onClose={() => setDialog(undefined)} />}
      {dialog === 'cancel' && (
        <Dialog
          title="Cancel this task?"
          onClose={() => setDialog(undefined)}
          actions={
            <>
              <Button onClick={() => setDialog(undefined)}>Keep it</Button>
              <Button
                kind="danger"
                icon="stop"
                onClick={() => {
                  setDialog(undefined);
                  void act(() => cancelTask(id), 'The task is canceled.').then(view.refresh);
                }}
              >
                Cancel the task
              </Button>
            </>
          }
        >
          <p>It ends at once. Finished steps and artifacts stay.</p>
        </Dialog>
      )}
    </Page>
  );
}

/** Starts the first message of the task again, as a new task, and goes there. */
async function rerun(id: string, navigate: (path: string) => void): Promise<void> {
  const { results } = await rerunTasks([id], false, crypto.randomUUID());
  const [{ newTaskId, message } = { newTaskId: undefined, message: undefined }] = results;
  if (newTaskId === undefined) throw new Error(message ?? 'The task was not started again.');
  navigate(`/tasks/${newTaskId}`);
}

function Overview({ view }: { view: TaskView }): JSX.Element {
  const { task, writing } = view.streamed.value;
  const timeline = view.timeline.value;
  const waits = listWaits(task?.status.message);
  const { parent, children } = getRelatives(task?.metadata);
  return (
    <>
      <section class="card timeline-card" aria-label="Timeline">
        <TimelineChart timeline={timeline} />
      </section>
      {timeline?.lastError !== undefined && (
        <div class="note bad">
          <p>
            <strong>Last error.</strong> {timeline.lastError}
          </p>
        </div>
      )}
      {waits.map(({ name, kind, until }) => (
        <div key={name} class="note wait">
          <p>
            Waits for <strong>{name}</strong> ({kind})
            {until !== undefined && `, until ${formatExactTime(until)}`}.
          </p>
        </div>
      ))}
      {parent !== undefined && (
        <p class="relatives">
          Part of <Link href={`/tasks/${parent}`}>{parent}</Link>
        </p>
      )}
      {children.length > 0 && (
        <details class="relatives">
          <summary>{children.length} child tasks</summary>
          <ul>
            {children.map((child) => (
              <li key={child}>
                <Link href={`/tasks/${child}`}>{child}</Link>
              </li>
            ))}
          </ul>
        </details>
      )}
      <div class="columns">
        {task === undefined ? <Skeleton lines={6} /> : <Conversation task={task} onSent={view.refresh} />}
        {task !== undefined && (
          <Artifacts
            artifacts={task.artifacts ?? []}
            writing={writing}
            running={isRunning(task.status.state)}
          />
        )}
      </div>
    </>
  );
}

function CopyAs({ task, onClose }: { task: Task; onClose: () => void }): JSX.Element {
  const first = task.history?.find(({ role }) => role === 'ROLE_USER');
  const parts = first?.parts ?? [{ text: '' }];
  return (
    <Dialog title="Start this task again from" onClose={onClose} wide>
      <Snippets
        params={{
          message: { messageId: crypto.randomUUID(), role: 'ROLE_USER', parts },
          configuration: { returnImmediately: true },
        }}
      />
    </Dialog>
  );
}

function getTitle(task: Task | undefined): string | undefined {
  const first = task?.history?.find(({ role }) => role === 'ROLE_USER');
  const text = first === undefined ? '' : toLine(textOf(first.parts), 120);
  return text === '' ? undefined : text;
}
