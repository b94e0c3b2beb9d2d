/** Counts the statements that the turn of a task in memory would need: their time is most of what recording costs. */
import type { TestTask } from 'longhaul/testing';
import type { MemoryTask } from '../../../sdk/testing/task.ts';

/** @returns those that record steps. Output that is streamed next to them has statements of its own, ten a second */
export function countRecords(task: TestTask): number {
  const { entries } = (task as MemoryTask).log;
  return entries.filter((entry) => 'steps' in entry && entry.steps.length > 0).length;
}
