/** The overview of a task: its timeline, what it waits for, its conversation and its artifacts. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Link } from 'wouter-preact';
import { formatExactTime } from '../../lib/format.ts';
import { isRunning } from '../../lib/states.ts';
import type { StepName } from '../../lib/types.ts';
import { getRelatives, listWaits } from '../../lib/waits.ts';
import { Skeleton } from '../../ui/basics.tsx';
import { Artifacts } from './artifacts.tsx';
import { Conversation } from './conversation.tsx';
import { RerunDialog } from './rerun.tsx';
import type { TaskView } from './task-state.ts';
import { TimelineChart } from './timeline.tsx';

export function Overview({ id, view }: { id: string; view: TaskView }): JSX.Element {
  const [again, setAgain] = useState<StepName | undefined>();
  const { task, writing } = view.streamed.value;
  const timeline = view.timeline.value;
  const waits = listWaits(task?.status.message);
  const { parent, children } = getRelatives(task?.metadata);
  return (
    <>
      <section class="card timeline-card" aria-label="Timeline">
        <TimelineChart timeline={timeline} onRerun={setAgain} />
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
      {again !== undefined && (
        <RerunDialog
          taskId={id}
          step={again}
          onClose={() => setAgain(undefined)}
          onDone={() => {
            setAgain(undefined);
            view.refresh();
          }}
        />
      )}
    </>
  );
}
