/** The raw events of a task, as a stream from its first one: what every client of the task receives. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { TaskState } from '#shared/domain/task.ts';
import { followStream } from '../../api/stream.ts';
import type { StreamPayload } from '../../lib/types.ts';
import { isRunning, stateNames } from '../../lib/states.ts';
import { ErrorNote, Skeleton, Time } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { JsonView } from '../../ui/json-view.tsx';

interface RawEvent {
  id: string;
  payload: StreamPayload;
}

export function Events({ taskId }: { taskId: string }): JSX.Element {
  const [events, setEvents] = useState<readonly RawEvent[]>([]);
  const [problem, setProblem] = useState<string | undefined>();
  useEffect(() => {
    const closing = new AbortController();
    let state: TaskState = 'TASK_STATE_WORKING';
    followStream({
      path: `/tasks/${encodeURIComponent(taskId)}:subscribe`,
      lastId: '0',
      signal: closing.signal,
      onEvent: ({ id = '', data }) => {
        const payload = JSON.parse(data) as StreamPayload;
        if ('task' in payload) state = payload.task.status.state;
        if ('statusUpdate' in payload) state = payload.statusUpdate.status.state;
        setEvents((known) => [...known, { id, payload }]);
      },
      continues: () => isRunning(state),
    }).catch((error: unknown) => setProblem((error as Error).message));
    return () => closing.abort();
  }, [taskId]);
  if (problem !== undefined) return <ErrorNote error={problem} />;
  return (
    <section class="card events" aria-label="Events">
      <header class="card-head">
        <h2>Events</h2>
        <CopyButton text={events.map(({ payload }) => JSON.stringify(payload)).join('\n')}>
          Copy as JSON lines
        </CopyButton>
      </header>
      {events.length === 0 && <Skeleton lines={4} />}
      <ol>
        {events.map(({ id, payload }, index) => (
          <li key={index}>
            <details>
              <summary>
                <span class="mono event-number">{id}</span>
                <span>{describe(payload)}</span>
                {'statusUpdate' in payload && <Time at={payload.statusUpdate.status.timestamp} as="clock" />}
              </summary>
              <JsonView value={payload} label={`Event ${id}`} />
            </details>
          </li>
        ))}
      </ol>
    </section>
  );
}

function describe(payload: StreamPayload): string {
  if ('task' in payload) return `Task, ${stateNames[payload.task.status.state]}`;
  if ('statusUpdate' in payload) return stateNames[payload.statusUpdate.status.state];
  if ('message' in payload) return 'Message';
  const { artifact, append, lastChunk } = payload.artifactUpdate;
  const what = append === true ? 'Chunk of' : 'Artifact';
  return `${what} ${artifact.name ?? artifact.artifactId}${lastChunk === true ? ', the last' : ''}`;
}
