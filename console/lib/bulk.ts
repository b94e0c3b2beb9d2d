/** The results of a cancel or a rerun of several tasks, or of its dry run, in words. Pure. */
/** The maximum number of tasks in one request. */
export const mostBulkTasks = 100;

export type BulkAction = 'cancel' | 'rerun';

export interface BulkResult {
  taskId: string;
  outcome: string;
  /** Why a rerun was refused. */
  message?: string;
  newTaskId?: string;
}

const done: Readonly<Record<BulkAction, string>> = { cancel: 'canceled', rerun: 'started' };

const reasons: Readonly<Record<string, string>> = {
  ended: 'ended before',
  not_found: 'not found',
  not_ended: 'not ended: cancel first',
};

export interface BulkDescription {
  count: number;
  /** Before it is done. */
  preview: string;
  /** Afterwards. */
  summary: string;
  /** The tasks to which nothing happens, by reason. */
  others: string[];
}

export function describeResults(action: BulkAction, results: readonly BulkResult[]): BulkDescription {
  const count = results.filter(({ outcome }) => outcome === done[action]).length;
  const groups = new Map<string, number>();
  for (const { outcome, message } of results) {
    if (outcome === done[action]) continue;
    const reason = message ?? reasons[outcome] ?? outcome;
    groups.set(reason, (groups.get(reason) ?? 0) + 1);
  }
  const of = results.length === count ? '' : ` of ${results.length}`;
  const tasks = results.length === 1 ? 'task' : 'tasks';
  const what = action === 'cancel' ? 'canceled' : 'started again';
  return {
    count,
    preview: `${count}${of} ${tasks} would be ${what}.`,
    summary: `${count}${of} ${tasks} ${count === 1 && of === '' ? 'was' : 'were'} ${what}.`,
    others: [...groups].map(([reason, number]) => `${number}: ${reason}`),
  };
}
