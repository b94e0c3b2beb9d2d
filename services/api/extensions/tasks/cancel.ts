/** `POST /tasks:cancel`: cancels tasks by their ids, one by one. */
import type { Db } from '#shared/db/client/pool.ts';
import { readTaskStates } from '#shared/db/reruns/source.ts';
import { cancelTask } from '#shared/db/tasks/cancel.ts';
import { isUuid } from '#shared/domain/ids.ts';
import { isTerminal } from '#shared/domain/task.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import { readFlag, readTaskIds } from '../body.ts';
import type { ExtensionCall } from '../routes.ts';
import type { CancelResult, CancelSummary } from './results.ts';

interface CancelParts {
  db: Db;
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
}

/** May be repeated: a task that was canceled before has ended. */
export async function cancelTasks(
  parts: CancelParts,
  { caller, body, addAuditDetails }: ExtensionCall,
): Promise<CancelSummary> {
  const ids = readTaskIds(body);
  const dryRun = readFlag(body, 'dryRun');
  addAuditDetails({ taskIds: ids.filter(isUuid), dryRun });
  const read = () => readTaskStates(parts.db, caller, ids.filter(isUuid));
  const before = await read();
  const canceled = new Set<string>();
  for (const id of ids) {
    const state = before.get(id);
    if (state === undefined || isTerminal(state)) continue;
    const wakeups = dryRun ? [] : await cancelTask(parts.db, parts, id);
    if (wakeups === undefined) continue;
    parts.outbox.publish(wakeups);
    canceled.add(id);
  }
  const now = dryRun ? before : await read();
  const results = ids.map((taskId): CancelResult => {
    const state = now.get(taskId);
    if (state === undefined) return { taskId, outcome: 'not_found' };
    return { taskId, outcome: canceled.has(taskId) ? 'canceled' : 'ended', state };
  });
  return { dryRun, results };
}
