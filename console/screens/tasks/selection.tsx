/** Actions on the selected tasks: cancel and rerun, each after a dry run, and their ids for the command line. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { mostBulkTasks, type BulkAction } from '../../lib/bulk.ts';
import { useKeys } from '../../shell/keys.ts';
import { Button } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { BulkDialog } from './bulk.tsx';

interface SelectionProps {
  ids: readonly string[];
  onClear: () => void;
}

export function Selection({ ids, onClear }: SelectionProps): JSX.Element {
  const [action, setAction] = useState<BulkAction | undefined>();
  const tooMany = ids.length > mostBulkTasks;
  useKeys([
    { keys: 'C', does: 'Cancel the selected tasks', run: () => setAction('cancel') },
    { keys: 'R', does: 'Rerun the selected tasks', run: () => setAction('rerun') },
  ]);
  return (
    <div class="selection" role="region" aria-label="Selection">
      <span>
        {ids.length} selected{tooMany && `, at most ${mostBulkTasks} at once`}
      </span>
      <Button icon="stop" disabled={tooMany} onClick={() => setAction('cancel')}>
        Cancel
      </Button>
      <Button icon="refresh" disabled={tooMany} onClick={() => setAction('rerun')}>
        Rerun
      </Button>
      <CopyButton text={ids.join(' ')}>Copy ids</CopyButton>
      <Button kind="quiet" icon="close" label="Clear the selection" onClick={onClear} />
      {action !== undefined && (
        <BulkDialog
          action={action}
          taskIds={ids}
          onClose={() => setAction(undefined)}
          onDone={() => {
            setAction(undefined);
            onClear();
          }}
        />
      )}
    </div>
  );
}
