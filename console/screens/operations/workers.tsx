/** The workers that run turns, with their leases, and a button that drains one. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { drainWorker } from '../../api/ops.ts';
import { toVisible } from '../../lib/format.ts';
import type { RunningWorker } from '../../lib/types.ts';
import { Button, Pill, Time } from '../../ui/basics.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';
import { DataTable, type Column } from './table.tsx';

interface WorkersCardProps {
  workers: readonly RunningWorker[] | undefined;
  onChange: () => void;
}

export function WorkersCard({ workers, onChange }: WorkersCardProps): JSX.Element {
  const [draining, setDraining] = useState<string | undefined>();
  const close = (): void => setDraining(undefined);
  const columns: readonly Column<RunningWorker>[] = [
    { name: 'Worker', cell: ({ worker }) => <span class="mono">{toVisible(worker)}</span> },
    { name: 'Turns', isNumber: true, cell: ({ turns }) => turns },
    { name: 'Oldest', isNumber: true, cell: ({ oldestClaimedAt }) => <Time at={oldestClaimedAt} /> },
    {
      name: 'First lease ends',
      isNumber: true,
      cell: ({ firstLeaseUntil }) => <Time at={firstLeaseUntil} as="clock" />,
    },
    {
      name: 'Action',
      isNumber: true,
      cell: ({ worker, draining }) =>
        draining ? (
          <Pill tone="wait">draining</Pill>
        ) : (
          <Button onClick={() => setDraining(worker)}>Drain</Button>
        ),
    },
  ];
  return (
    <>
      <DataTable
        title="Workers that run turns"
        columns={columns}
        rows={workers}
        getKey={({ worker }) => worker}
        empty="No worker runs a turn now."
      />
      {draining !== undefined && (
        <Dialog
          title="Drain this worker?"
          onClose={close}
          actions={
            <>
              <Button onClick={close}>Keep it</Button>
              <Button
                kind="danger"
                icon="stop"
                onClick={() => {
                  close();
                  void act(() => drainWorker(draining), 'The worker is asked to drain.').then(onChange);
                }}
              >
                Drain
              </Button>
            </>
          }
        >
          <p>
            <strong class="mono">{toVisible(draining)}</strong> starts no more turns, finishes or returns
            those that it has, and exits. Its platform then starts another one.
          </p>
        </Dialog>
      )}
    </>
  );
}
