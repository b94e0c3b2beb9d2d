/**
 * Counts the bytes that a task stores: its messages, events, artifacts, step results and files, as UTF-8. Rows
 * of the same task that replace each other, such as a growing artifact, are counted each time that they are
 * written.
 */
type Text = string | null | undefined;

export function countTaskBytes(task: {
  message: string;
  metadata: string | null;
  acceptedOutputModes: string | null;
  event: string;
}): number {
  return sum([task.message, task.metadata, task.acceptedOutputModes, task.event]);
}

export function countFollowUpBytes(followUp: {
  message: string;
  acceptedOutputModes: string | null;
}): number {
  return sum([followUp.message, followUp.acceptedOutputModes]);
}

/** The parts of a turn's write that store content. */
interface WrittenContent {
  events?: readonly { payload: string; artifact?: { whole?: string } }[];
  steps?: readonly { output: string | null }[];
  finish?: { kind: 'end'; payload: string; message: string | null } | { kind: 'release' };
}

export function countWriteBytes({ events = [], steps = [], finish }: WrittenContent): number {
  const end = finish?.kind === 'end' ? [finish.payload, finish.message] : [];
  return (
    sum(end) +
    sum(events.flatMap(({ payload, artifact }) => [payload, artifact?.whole])) +
    sum(steps.map(({ output }) => output))
  );
}

function sum(texts: readonly Text[]): number {
  return texts.reduce((total: number, text) => total + Buffer.byteLength(text ?? ''), 0);
}
