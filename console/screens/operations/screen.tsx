/** Operations: what waits, works and fails, over all owners. Only for credentials with the scope `operator`. */
import type { JSX } from 'preact';
import { readOperations } from '../../api/ops.ts';
import { credential, hasScope, scopes, signOut } from '../../api/session.ts';
import { formatDuration } from '../../lib/format.ts';
import type { FailingHost, ModelQuota } from '../../lib/types.ts';
import { Button, Empty, ErrorNote, Page, Skeleton, Time } from '../../ui/basics.tsx';
import { useData, usePoll } from '../../ui/data.ts';
import { BacklogFigures } from './backlog.tsx';
import { OwnersCard } from './owners.tsx';
import { DataTable, type Column } from './table.tsx';
import { StuckWork } from './work.tsx';
import { WorkersCard } from './workers.tsx';

export function OperationsScreen(): JSX.Element {
  const isKnown = scopes.value !== undefined;
  return (
    <Page title="Operations">
      {!isKnown ? <Skeleton lines={10} /> : hasScope('operator') ? <Operations /> : <NoAccess />}
    </Page>
  );
}

function NoAccess(): JSX.Element {
  return (
    <Empty icon="key" title="This screen is for operators">
      <p>
        It needs the scope <code>operator</code>, and your credential has only: {scopes.value}. Sign in with
        another credential, or ask those who run this agent.
      </p>
      {credential.value !== undefined && (
        <Button icon="key" onClick={signOut}>
          Sign in again
        </Button>
      )}
    </Empty>
  );
}

/** Each read is audited, so they are few. */
const pollMs = 15_000;

const models: readonly Column<ModelQuota>[] = [
  { name: 'Model', cell: ({ model }) => model },
  { name: 'A call may start', cell: ({ waitSeconds }) => describeWait(waitSeconds) },
  { name: 'Parked tasks', isNumber: true, cell: ({ parked }) => parked },
];

const hosts: readonly Column<FailingHost>[] = [
  { name: 'Host', cell: ({ host }) => <span class="mono">{host}</span> },
  { name: 'Webhooks', isNumber: true, cell: ({ webhooks }) => webhooks },
  { name: 'Owners', isNumber: true, cell: ({ owners }) => owners },
  { name: 'Deliveries', isNumber: true, cell: ({ deliveries }) => deliveries },
  { name: 'Oldest', isNumber: true, cell: ({ oldestCreatedAt }) => <Time at={oldestCreatedAt} /> },
];

const describeWait = (seconds: number): string =>
  seconds === 0 ? 'now' : `in ${formatDuration(seconds * 1000)}`;

function Operations(): JSX.Element {
  const { data, error, reload } = useData(readOperations, []);
  usePoll(reload, pollMs);
  return (
    <div class="operations">
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      <BacklogFigures backlog={data?.backlog} />
      <WorkersCard workers={data?.workers} onChange={reload} />
      <StuckWork pollMs={pollMs} />
      <OwnersCard pollMs={pollMs} />
      <DataTable
        title="Quotas of models"
        columns={models}
        rows={data?.models}
        getKey={({ model }) => model}
        empty="No quota has been used. A model appears here after its first call."
      />
      <DataTable
        title="Receivers that fail"
        columns={hosts}
        rows={data?.hosts}
        getKey={({ host }) => host}
        empty="No delivery waits for a retry."
      />
    </div>
  );
}
