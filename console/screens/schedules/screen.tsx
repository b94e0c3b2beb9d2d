/** Schedules: messages that start tasks, with their history of due times. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Link, useLocation } from 'wouter-preact';
import { textOf } from '#shared/domain/message.ts';
import { actOnSchedule, deleteSchedule, listFirings, listSchedules } from '../../api/calls.ts';
import type { Firing, Schedule } from '../../lib/types.ts';
import { formatDuration, shortId, toLine } from '../../lib/format.ts';
import { Button, Empty, ErrorNote, Page, Pill, Skeleton, Time } from '../../ui/basics.tsx';
import { useData, useFeed } from '../../ui/data.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';
import { ScheduleForm } from './form.tsx';

export function SchedulesScreen(): JSX.Element {
  const { data, error, reload } = useData(listSchedules, []);
  const [editing, setEditing] = useState<Schedule | 'new' | undefined>();
  useFeed((events) => {
    if (events.some(({ state }) => state === 'TASK_STATE_SUBMITTED')) reload();
  }, 1_000);
  const done = (): void => {
    setEditing(undefined);
    reload();
  };
  return (
    <Page
      title="Schedules"
      actions={
        <Button kind="primary" icon="plus" onClick={() => setEditing('new')}>
          New schedule
        </Button>
      }
    >
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {data === undefined ? (
        error === undefined && <Skeleton lines={8} />
      ) : data.schedules.length === 0 ? (
        <Empty icon="clock" title="No schedules">
          <p>
            A schedule sends a message at the times of a cron expression, or at an interval. Each time, a task
            starts.
          </p>
          <Button icon="plus" onClick={() => setEditing('new')}>
            New schedule
          </Button>
        </Empty>
      ) : (
        data.schedules.map((schedule) => (
          <ScheduleCard
            key={schedule.id}
            schedule={schedule}
            onChange={reload}
            onEdit={() => setEditing(schedule)}
          />
        ))
      )}
      {data?.nextPageToken !== undefined && data.nextPageToken !== '' && (
        <p class="hint">The first 100 schedules are shown.</p>
      )}
      {editing !== undefined && (
        <ScheduleForm
          schedule={editing === 'new' ? undefined : editing}
          onClose={() => setEditing(undefined)}
          onSaved={done}
        />
      )}
    </Page>
  );
}

interface ScheduleCardProps {
  schedule: Schedule;
  onChange: () => void;
  onEdit: () => void;
}

function ScheduleCard({ schedule, onChange, onEdit }: ScheduleCardProps): JSX.Element {
  const [, navigate] = useLocation();
  const [deleting, setDeleting] = useState(false);
  const { id, paused, nextAt, request, overlap } = schedule;
  const text = textOf(request.message.parts ?? []);
  const change = (action: 'pause' | 'resume'): void =>
    void act(() => actOnSchedule(id, action)).then(onChange);
  const run = (): void =>
    void act(async () => {
      const { taskId } = await actOnSchedule(id, 'run');
      if (taskId !== undefined) navigate(`/tasks/${taskId}`);
    }, 'A task was started.');
  return (
    <article class="card schedule">
      <header class="card-head">
        <h2>{id}</h2>
        <Pill tone={paused ? 'muted' : 'good'}>{paused ? 'Paused' : 'Active'}</Pill>
        <span class="hint">
          <span class="mono">{describeTimes(schedule)}</span>
          {nextAt !== undefined && (
            <>
              , next <Time at={nextAt} as="clock" />
            </>
          )}
          , overlap: {overlap}
        </span>
        <div class="actions">
          <Button icon="play" onClick={run}>
            Run now
          </Button>
          <Button icon={paused ? 'play' : 'pause'} onClick={() => change(paused ? 'resume' : 'pause')}>
            {paused ? 'Resume' : 'Pause'}
          </Button>
          <Button onClick={onEdit}>Edit</Button>
          <Button icon="trash" kind="quiet" label={`Delete ${id}`} onClick={() => setDeleting(true)} />
        </div>
      </header>
      <p>{toLine(text, 200)}</p>
      <Firings id={id} lastTaskId={schedule.lastTaskId} />
      {deleting && (
        <Dialog
          title={`Delete ${id}?`}
          onClose={() => setDeleting(false)}
          actions={
            <>
              <Button onClick={() => setDeleting(false)}>Keep it</Button>
              <Button
                kind="danger"
                icon="trash"
                onClick={() => {
                  setDeleting(false);
                  void act(() => deleteSchedule(id), `${id} is deleted.`).then(onChange);
                }}
              >
                Delete
              </Button>
            </>
          }
        >
          <p>No more tasks start. Tasks that it has started stay.</p>
        </Dialog>
      )}
    </article>
  );
}

/** @param lastTaskId a new task is a new firing */
function Firings({ id, lastTaskId }: { id: string; lastTaskId: string | undefined }): JSX.Element {
  const { data } = useData(() => listFirings(id), [id, lastTaskId]);
  const firings = data?.firings ?? [];
  if (firings.length === 0) return <p class="hint">It has not been due yet.</p>;
  return (
    <details class="more">
      <summary>History ({firings.length === 50 ? 'the newest 50' : firings.length})</summary>
      <table class="table">
        <tbody>
          {firings.map((firing) => (
            <tr key={`${firing.dueAt} ${firing.taskId ?? ''}`}>
              <td>
                <Time at={firing.dueAt} as="clock" />
              </td>
              <td>{describeFiring(firing)}</td>
              <td>
                {firing.taskId !== undefined && (
                  <Link href={`/tasks/${firing.taskId}`} class="mono">
                    {shortId(firing.taskId)}
                  </Link>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function describeTimes({ cron, timeZone, everySeconds }: Schedule): string {
  if (everySeconds !== undefined) return `every ${formatDuration(everySeconds * 1000)}`;
  return `${cron ?? ''} ${timeZone ?? 'UTC'}`;
}

function describeFiring({ state, reason, count, manual }: Firing): string {
  const what = manual === true ? 'started by hand' : state;
  return [what, reason, count !== undefined && count > 1 && `${count} due times`].filter(Boolean).join(', ');
}
