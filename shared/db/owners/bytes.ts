/**
 * Counts the bytes that a task stores: its messages, events, artifacts, step results and files, as UTF-8. Rows of
 * the same task that replace each other, such as a growing artifact, are counted each time that they are written.
 */
import type { NewTask } from '../tasks/accept.ts';
import type { FollowUp } from '../tasks/follow-up.ts';
import type { TurnWrite } from '../turns/write.ts';

type Text = string | null | undefined;

export function countTaskBytes(task: NewTask): number {
  return sum([task.message, task.metadata, task.acceptedOutputModes, task.event]);
}

export function countFollowUpBytes(followUp: FollowUp): number {
  return sum([followUp.message, followUp.acceptedOutputModes]);
}

export function countWriteBytes({ events = [], steps = [], finish }: TurnWrite): number {
  const end = finish?.kind === 'end' ? [finish.payload, finish.message] : [];
  return (
    sum(end) +
    sum(events.flatMap(({ payload, artifact }) => [payload, artifact?.whole])) +
    sum(steps.map(({ output }) => output))
  );
}

function sum(texts: readonly Text[]): number {
  return texts.reduce((total, text) => total + (text == null ? 0 : Buffer.byteLength(text)), 0);
}
