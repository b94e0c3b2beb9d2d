/** The contents of a task in one answer: what it says now, what it was asked, and its artifacts, as far as they fit. */
import type { Artifact, Message } from '../../domain/message.ts';
import type { OpsTask } from '../../domain/views.ts';
import { quantity } from '../answer.ts';

/** Characters of the contents as JSON, and of the last error: fewer than those of the text of an answer, so that both have the same. */
export const maxContentChars = 32_000;

/** Returns the task with those of its contents that fit, and says what was left out. */
export function fitContents(task: OpsTask): { task: OpsTask; leftOut: string[] } {
  const leftOut: string[] = [];
  let room = maxContentChars - JSON.stringify(task.lastError ?? '').length;

  function takes(value: unknown): boolean {
    const chars = JSON.stringify(value).length + 1;
    if (chars > room) return false;
    room -= chars;
    return true;
  }

  /** Keeps the first parts that fit, and then the metadata. Returns undefined if not even the first part fits. */
  function fit<T extends Message | Artifact>(whole: T, name: string): T | undefined {
    const { parts, metadata, ...head } = whole;
    const before = room;
    const end = takes(head) ? parts.findIndex((part) => !takes(part)) : 0;
    if (end === 0) {
      room = before;
      return undefined;
    }
    const kept = end === -1 ? parts : parts.slice(0, end);
    const missing = parts.length - kept.length;
    if (missing > 0) leftOut.push(`${missing} of ${quantity(parts.length, 'part')} of ${name}`);
    const keepsMetadata = metadata !== undefined && takes(metadata);
    if (metadata !== undefined && !keepsMetadata) leftOut.push(`the metadata of ${name}`);
    return { ...head, parts: kept, ...(keepsMetadata && { metadata }) } as T;
  }

  function fitMessage(whole: Message | undefined, name: string): Message | undefined {
    const fitted = whole && fit(whole, name);
    if (whole !== undefined && fitted === undefined) leftOut.push(name);
    return fitted;
  }

  const { message: wholeMessage, statusMessage: wholeStatus, ...others } = task;
  const statusMessage = fitMessage(wholeStatus, 'the status message');
  const message = fitMessage(wholeMessage, 'the message');
  const artifacts = task.artifacts.flatMap((whole, index) => fit(whole, `artifact ${index + 1}`) ?? []);
  const artifactsLeftOut = task.artifactsLeftOut + task.artifacts.length - artifacts.length;
  if (artifactsLeftOut > 0) leftOut.push(quantity(artifactsLeftOut, 'artifact'));
  const fitted = {
    ...others,
    ...(message !== undefined && { message }),
    ...(statusMessage !== undefined && { statusMessage }),
    artifacts,
    artifactsLeftOut,
  };
  return { task: fitted, leftOut };
}
