/** Runs the current turn of a task again from a step. A dry run lists what would run before anything does. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { rerunFromStep } from '../../api/calls.ts';
import type { RestartResult, StepName } from '../../lib/types.ts';
import { Button, ErrorNote, Skeleton } from '../../ui/basics.tsx';
import { useData } from '../../ui/data.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';

interface RerunDialogProps {
  taskId: string;
  step: StepName;
  onClose: () => void;
  onDone: () => void;
}

export function RerunDialog({ taskId, step, onClose, onDone }: RerunDialogProps): JSX.Element {
  const run = async (dryRun: boolean): Promise<RestartResult> => {
    const [result] = (await rerunFromStep(taskId, step, dryRun)).results;
    if (result?.outcome === 'restarted') return result;
    throw new Error(result?.message ?? 'The task was not found.');
  };
  const { data, error, reload } = useData(() => run(true), []);
  const [running, setRunning] = useState(false);
  const confirm = async (): Promise<void> => {
    setRunning(true);
    const done = await act(() => run(false), 'The turn runs again.');
    setRunning(false);
    if (done) onDone();
  };
  return (
    <Dialog
      title={`Run again from ${step.name}?`}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Keep it</Button>
          <Button
            kind="primary"
            icon="refresh"
            disabled={running || data === undefined}
            onClick={() => void confirm()}
          >
            Run again
          </Button>
        </>
      }
    >
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {data === undefined ? (
        error === undefined && <Skeleton lines={2} />
      ) : (
        <>
          <p>
            <strong>These steps of turn {data.turn} run again:</strong>
          </p>
          <ul class="bulk-reasons">
            {(data.steps ?? []).map(({ name, occurrence }) => (
              <li key={`${name} ${occurrence}`}>
                {name}
                {occurrence > 0 && `, no. ${occurrence + 1}`}
              </li>
            ))}
          </ul>
          <p class="hint">
            Their results are removed; earlier ones stay. A partner that does not know the key of a step acts
            twice.
          </p>
        </>
      )}
    </Dialog>
  );
}
