/**
 * The newest message of each task in the list, which says more than its id. A search does not return messages, so they are
 * read for the rows in view: first those of the newest tasks in one call, then the others by their context.
 */
import { signal } from '@preact/signals';
import { textOf } from '#shared/domain/message.ts';
import type { TaskSummary } from '#shared/domain/views.ts';
import { listTasks } from '../../api/calls.ts';
import type { Task } from '../../lib/types.ts';
import { toLine } from '../../lib/format.ts';

export const previews = signal<ReadonlyMap<string, string>>(new Map());

const asked = new Set<string>();
const callsAtOnce = 3;
const longestPreview = 140;

export function addPreviews(tasks: readonly Task[]): void {
  if (tasks.length === 0) return;
  const next = new Map(previews.value);
  for (const { id, history = [], status } of tasks) {
    const message = history.findLast(({ role }) => role === 'ROLE_USER') ?? history.at(-1) ?? status.message;
    const text = message === undefined ? '' : textOf(message.parts);
    const others = message?.parts.find((part) => part.text === undefined);
    next.set(
      id,
      toLine(
        text === '' && others !== undefined ? (others.filename ?? 'A file or data') : text,
        longestPreview,
      ),
    );
  }
  previews.value = next;
}

export async function loadNewestPreviews(): Promise<void> {
  addPreviews((await listTasks({ pageSize: '50' })).tasks);
}

/** Reads what is missing for these tasks. */
export async function loadPreviews(tasks: readonly TaskSummary[]): Promise<void> {
  const missing = tasks.filter(
    ({ taskId, contextId }) => !previews.value.has(taskId) && !asked.has(contextId),
  );
  const contexts = [...new Set(missing.map(({ contextId }) => contextId))];
  for (const contextId of contexts) asked.add(contextId);
  const next = async (): Promise<void> => {
    for (let contextId = contexts.shift(); contextId !== undefined; contextId = contexts.shift()) {
      const { tasks } = await listTasks({ contextId, pageSize: '20' }).catch(() => ({ tasks: [] }));
      addPreviews(tasks);
    }
  };
  await Promise.all(Array.from({ length: callsAtOnce }, next));
}
