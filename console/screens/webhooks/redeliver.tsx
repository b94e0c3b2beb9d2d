/** Redelivers what failed, of all webhooks that the filter selects. It counts first. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { redeliverAll } from '../../api/calls.ts';
import type { RedeliverRequest, RedeliverResult } from '../../lib/types.ts';
import { Button, ErrorNote, Skeleton } from '../../ui/basics.tsx';
import { useData } from '../../ui/data.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { act } from '../../ui/toast.tsx';

interface RedeliverDialogProps {
  host: string;
  health: 'failing' | 'disabled' | undefined;
  onClose: () => void;
  onDone: () => void;
}

const ranges = { hour: 3_600_000, day: 86_400_000, week: 7 * 86_400_000 } as const;
type Range = keyof typeof ranges;

export function RedeliverDialog({ host, health, onClose, onDone }: RedeliverDialogProps): JSX.Element {
  const [range, setRange] = useState<Range>('day');
  const [running, setRunning] = useState(false);
  const createRequest = (dryRun: boolean): RedeliverRequest => ({
    since: new Date(Date.now() - ranges[range]).toISOString(),
    dryRun,
    ...(health !== undefined && { health }),
    ...(host !== '' && { host }),
  });
  const { data, error, reload } = useData(() => redeliverPages(createRequest(true)), [range]);
  const confirm = async (): Promise<void> => {
    setRunning(true);
    const done = await act(
      () => redeliverPages(createRequest(false)),
      ({ count, retryAfterSeconds }) =>
        `${count} deliveries are on their way.${retryAfterSeconds === undefined ? '' : ` More in ${retryAfterSeconds} s: your limit of requests is reached.`}`,
    );
    setRunning(false);
    if (done) onDone();
  };
  return (
    <Dialog
      title="Redeliver what failed?"
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>Close</Button>
          <Button
            kind="primary"
            icon="refresh"
            disabled={running || data === undefined || data.count === 0}
            onClick={() => void confirm()}
          >
            Redeliver {data?.count ?? ''}
          </Button>
        </>
      }
    >
      <label class="field">
        <span>Failed within the last</span>
        <select value={range} onChange={(event) => setRange(event.currentTarget.value as Range)}>
          {Object.keys(ranges).map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {data === undefined ? (
        error === undefined && <Skeleton lines={1} />
      ) : (
        <p>
          <strong>
            {data.count} {data.count === 1 ? 'delivery' : 'deliveries'} of {data.webhooks} webhooks
          </strong>{' '}
          {host === '' ? '' : `at ${host} `}would be sent again. A webhook that is disabled is enabled again.
        </p>
      )}
    </Dialog>
  );
}

interface Total {
  count: number;
  /** Webhooks with something to send again. */
  webhooks: number;
  retryAfterSeconds: number | undefined;
}

/** One request handles at most 100 webhooks. */
async function redeliverPages(request: RedeliverRequest): Promise<Total> {
  const total: Total = { count: 0, webhooks: 0, retryAfterSeconds: undefined };
  let pageToken = '';
  do {
    const page: RedeliverResult = await redeliverAll({ ...request, ...(pageToken !== '' && { pageToken }) });
    total.count += page.count;
    total.webhooks += page.webhooks.filter(({ outcome }) => outcome === 'redelivered').length;
    total.retryAfterSeconds = page.retryAfterSeconds;
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && total.retryAfterSeconds === undefined);
  return total;
}
