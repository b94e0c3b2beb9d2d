/** One task: what happened when, what was said, what came out of it. */
import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Link, useLocation } from 'wouter-preact';
import { textOf } from '#shared/domain/message.ts';
import { cancelTask, rerunTasks } from '../../api/calls.ts';
import type { Task } from '../../lib/types.ts';
import { shortId, toLine } from '../../lib/format.ts';
import { isRunning, needsPerson } from '../../lib/states.ts';
import { useKeys } from '../../shell/keys.ts';
import { Button, ErrorNote, Page, Skeleton, StatePill } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Snippets } from '../../ui/snippets.tsx';
import { Tabs } from '../../ui/tabs.tsx';
import { act } from '../../ui/toast.tsx';
import { Events } from './events.tsx';
import { Facts } from './facts.tsx';
import { Overview } from './overview.tsx';
import { openTask } from './task-state.ts';
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
        <Facts id={id} task={task} timeline={view.timeline.value} />
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
        view.error.value === undefined && <Overview id={id} view={view} />
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
