/**
 * Counts the bytes that a task stores: its messages, events, artifacts, step results and files, as UTF-8. Rows
 * of the same task that replace each other, such as a growing artifact, are counted each time that they are
 * written.
 */
import type { JsonText } from '../../runtime/json-bytes.ts';

export function countTaskBytes(
  task: { message: JsonText; metadata: string | null; acceptedOutputModes: string | null; event: string },
  /** The size of the message, if it is known. */
  messageBytes: number = Buffer.byteLength(task.message),
): number {
  return messageBytes + count(task.metadata) + count(task.acceptedOutputModes) + count(task.event);
}

export function countFollowUpBytes(followUp: {
  message: JsonText;
  /** The size of the message, if it is known. */
  messageBytes?: number;
  acceptedOutputModes: string | null;
}): number {
  const { message, messageBytes, acceptedOutputModes } = followUp;
  return (messageBytes ?? count(message)) + count(acceptedOutputModes);
}

/** The parts of a turn's write that store content. */
interface WrittenContent {
  events?: readonly { payload: string; artifact?: { whole?: string } }[];
  steps?: readonly { output: string | null }[];
  finish?: { kind: 'end'; payload: string; message: string | null } | { kind: 'release' };
}

export function countWriteBytes({ events = [], steps = [], finish }: WrittenContent): number {
  let bytes = finish?.kind === 'end' ? count(finish.payload) + count(finish.message) : 0;
  for (const { payload, artifact } of events) bytes += count(payload) + count(artifact?.whole);
  for (const { output } of steps) bytes += count(output);
  return bytes;
}

function count(text: JsonText | null | undefined): number {
  return text === null || text === undefined ? 0 : Buffer.byteLength(text);
}
