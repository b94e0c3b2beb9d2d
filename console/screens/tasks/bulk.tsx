/** Cancels or reruns the selected tasks. A dry run shows what would happen before anything does. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { cancelTasks, rerunTasks } from '../../api/calls.ts';
import { describeResults, type BulkAction } from '../../lib/bulk.ts';
import { Button, ErrorNote, Skeleton } from '../../ui/basics.tsx';
import { useData } from '../../ui/data.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';

interface BulkDialogProps {
  action: BulkAction;
  taskIds: readonly string[];
  onClose: () => void;
  onDone: () => void;
}

export function BulkDialog({ action, taskIds, onClose, onDone }: BulkDialogProps): JSX.Element {
  // The same for a repeat after an error, so that no task is started twice.
  const requestId = useMemo(() => crypto.randomUUID() as string, []);
  const run = (dryRun: boolean) =>
    action === 'cancel' ? cancelTasks(taskIds, dryRun) : rerunTasks(taskIds, dryRun, requestId);
  const { data, error, reload } = useData(() => run(true), []);
  const [running, setRunning] = useState(false);
  const expected = data === undefined ? undefined : describeResults(action, data.results);
  const verb = action === 'cancel' ? 'Cancel' : 'Rerun';
  const confirm = async (): Promise<void> => {
    setRunning(true);
    const done = await act(
      () => run(false),
      ({ results }) => describeResults(action, results).summary,
    );
    setRunning(false);
    if (done) onDone();
  };
  return (
    <Dialog
      title={`${verb} ${taskIds.length} ${taskIds.length === 1 ? 'task' : 'tasks'}?`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Keep them</Button>
          <Button
            kind={action === 'cancel' ? 'danger' : 'primary'}
            icon={action === 'cancel' ? 'stop' : 'refresh'}
            disabled={running || expected === undefined || expected.count === 0}
            onClick={() => void confirm()}
          >
            {verb} {expected?.count ?? ''}
          </Button>
        </>
      }
    >
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {expected === undefined ? (
        error === undefined && <Skeleton lines={2} />
      ) : (
        <>
          <p>
            <strong>{expected.preview}</strong>
          </p>
          <ul class="bulk-reasons">
            {expected.others.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
          <p class="hint">
            {action === 'cancel'
              ? 'They end at once. Finished steps and artifacts stay.'
              : 'Each becomes a new task with the first message of the old one, in the same conversation.'}
          </p>
        </>
      )}
    </Dialog>
  );
}
