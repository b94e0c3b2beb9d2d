/** The answers of acts on several tasks. */
import type { TaskState } from '#shared/domain/task.ts';

export interface CancelSummary {
  dryRun: boolean;
  results: CancelResult[];
}

export interface CancelResult {
  taskId: string;
  outcome: 'canceled' | 'ended' | 'not_found';
  /** After the call; absent if it was not found. */
  state?: TaskState;
}

export interface RerunSummary {
  dryRun: boolean;
  results: RerunResult[];
}

export interface RerunResult {
  taskId: string;
  outcome: 'started' | 'restarted' | 'not_ended' | 'not_found' | 'refused';
  /** The task that was started, by this request or by an earlier one with its `requestId`. */
  newTaskId?: string;
  /** Why it was refused. */
  message?: string;
  /** The turn that runs again, and its steps that do, in their order. */
  turn?: number;
  steps?: { name: string; occurrence: number }[];
}
