/** The calls of operators (docs/extensions/operator.md). They need the scope `operator`, and each is audited. */
import type { OwnersUsage } from '#shared/domain/views.ts';
import type {
  Backlog,
  FailingHost,
  ModelQuota,
  OwnerReport,
  RunningWorker,
  StuckTask,
  WorkKind,
} from '../lib/types.ts';
import { call } from './http.ts';

export interface Operations {
  backlog: Backlog;
  workers: RunningWorker[];
  models: ModelQuota[];
  hosts: FailingHost[];
}

export async function readOperations(): Promise<Operations> {
  const [backlog, { workers }, { models }, { hosts }] = await Promise.all([
    call<Backlog>('/ops/backlog'),
    call<{ workers: RunningWorker[] }>('/ops/workers'),
    call<{ models: ModelQuota[] }>('/ops/models'),
    call<{ hosts: FailingHost[] }>('/ops/hosts'),
  ]);
  return { backlog, workers, models, hosts };
}

/** The oldest first, at most 50. */
export const listWork = (kind: WorkKind): Promise<{ work: StuckTask[] }> => call(`/ops/work?kind=${kind}`);

/** @param all false: only owners near a limit or with limits of their own */
export const listOwners = (all: boolean): Promise<{ owners: OwnerReport[] }> =>
  call(`/ops/owners?all=${all}`);

export const getOwnersUsage = (since: string, until: string): Promise<OwnersUsage> =>
  call(`/ops/usage?since=${since}&until=${until}`);

export const wakeStalled = (): Promise<{ taskIds: string[] }> =>
  call('/ops/turns:wake', { method: 'POST', body: { stalled: true } });

export const drainWorker = (worker: string): Promise<object> =>
  call('/ops/workers:drain', { method: 'POST', body: { worker } });
