/** Tasks that make no progress, over all owners, by the reason. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { listWork, wakeStalled } from '../../api/ops.ts';
import { shortId, toVisible } from '../../lib/format.ts';
import type { StuckTask, WorkKind } from '../../lib/types.ts';
import { Button, ErrorNote, StatePill, Time } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { useData, usePoll } from '../../ui/data.ts';
import { act } from '../../ui/toast.tsx';
import { DataTable, type Column } from './table.tsx';

/** The name of a kind, that of its time, and what it means that no task is of it. */
const kinds: Readonly<Record<WorkKind, { name: string; at: string; empty: string }>> = {
  parked: { name: 'Parked', at: 'Runs again', empty: 'No task waits for capacity of a model.' },
  failing: { name: 'Failing', at: 'Since', empty: 'No partner of the agent fails.' },
  stalled: { name: 'Stalled', at: 'Was due', empty: 'No task waits for a late wake-up.' },
  overdue: { name: 'Overdue', at: 'Deadline', empty: 'No task has missed its deadline.' },
};

export function StuckWork({ pollMs }: { pollMs: number }): JSX.Element {
  const [kind, setKind] = useState<WorkKind>('stalled');
  const { data, error, reload } = useData(() => listWork(kind), [kind]);
  usePoll(reload, pollMs);
  const { at, empty } = kinds[kind];
  const columns: readonly Column<StuckTask>[] = [
    {
      name: 'Task',
      cell: ({ taskId }) => (
        <span class="task-id">
          <span class="mono" title={taskId}>
            {shortId(taskId)}
          </span>
          <CopyButton text={taskId} />
        </span>
      ),
    },
    { name: 'Owner', cell: ({ owner }) => toVisible(owner) },
    { name: 'State', cell: ({ state }) => <StatePill state={state} /> },
    { name: at, cell: (task) => <Time at={task.at} as="clock" /> },
    { name: 'Failures', isNumber: true, cell: ({ failures }) => failures },
    { name: 'Last error', cell: ({ lastError }) => lastError },
  ];
  return (
    <>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      <DataTable
        title="Tasks without progress"
        columns={columns}
        rows={data?.work}
        getKey={({ taskId }) => taskId}
        empty={empty}
        actions={
          <>
            <div class="segmented" role="group" aria-label="Reason">
              {(Object.keys(kinds) as WorkKind[]).map((name) => (
                <button key={name} type="button" aria-pressed={name === kind} onClick={() => setKind(name)}>
                  {kinds[name].name}
                </button>
              ))}
            </div>
            {kind === 'stalled' && (data?.work.length ?? 0) > 0 && (
              <Button icon="play" onClick={() => void act(wakeStalled, describeWoken).then(reload)}>
                Wake them
              </Button>
            )}
          </>
        }
      />
    </>
  );
}

const describeWoken = ({ taskIds }: { taskIds: string[] }): string =>
  `${taskIds.length} ${taskIds.length === 1 ? 'task wakes' : 'tasks wake'} in the next pass of the reconciler.`;
