/**
 * The events through which clients see a task (invariant 5). Each event is stored as the payload of an A2A
 * `StreamResponse` (section 3.2.3). The events of a task are numbered 1, 2, 3 … without gaps.
 */
import type { Artifact, JsonObject, Message, Part } from './message.ts';
import type { TaskState } from './task.ts';

/**
 * - `state`: the state of the task changed
 * - `progress`: a status message within the same state
 * - `artifact`: an artifact, or a chunk of one
 */
export type EventKind = 'state' | 'progress' | 'artifact';

export interface TaskStatus {
  state: TaskState;
  message?: Message;
  /** ISO 8601, UTC, milliseconds. */
  timestamp: string;
}

export interface StatusUpdate {
  taskId: string;
  contextId: string;
  status: TaskStatus;
  metadata?: JsonObject;
}

/**
 * In the metadata of an auth-required status: true if the credential does not come as an answer of the client, which
 * can then wait on its stream.
 */
export const outOfBandKey = 'https://longhaul.dev/ext/out-of-band/v1';

export interface ArtifactUpdate {
  taskId: string;
  contextId: string;
  artifact: Artifact;
  /** True: the parts are appended to the artifact with this id. False: they replace it. */
  append?: boolean;
  lastChunk?: boolean;
  metadata?: JsonObject;
}

export type EventPayload = { statusUpdate: StatusUpdate } | { artifactUpdate: ArtifactUpdate };

export interface TaskEvent {
  taskId: string;
  /** Number of the event within its task, from 1. */
  seq: number;
  kind: EventKind;
  payload: EventPayload;
}

/**
 * Applies a sequence of updates and returns the resulting artifacts, in order of first appearance. Adjacent
 * text chunks of an artifact are merged into one part, so that the final artifact does not depend on how it
 * was streamed.
 */
export function foldArtifacts(updates: Iterable<ArtifactUpdate>, onto: readonly Artifact[] = []): Artifact[] {
  const artifacts = new Map<string, Artifact>(onto.map((artifact) => [artifact.artifactId, artifact]));
  for (const { artifact, append } of updates) {
    const before = artifacts.get(artifact.artifactId);
    if (before === undefined || append !== true) {
      artifacts.set(artifact.artifactId, { ...artifact, parts: mergeText([], artifact.parts) });
    } else {
      artifacts.set(artifact.artifactId, {
        ...before,
        ...artifact,
        parts: mergeText(before.parts, artifact.parts),
      });
    }
  }
  return [...artifacts.values()];
}

function mergeText(before: readonly Part[], more: readonly Part[]): Part[] {
  const parts = [...before];
  for (const part of more) {
    const last = parts.at(-1);
    // The last chunk of a stream may be empty.
    if (last !== undefined && part.text === '' && isPlainText(part)) continue;
    if (last !== undefined && isPlainText(last) && isPlainText(part) && last.mediaType === part.mediaType) {
      parts[parts.length - 1] = { ...last, text: last.text + part.text };
    } else {
      parts.push(part);
    }
  }
  return parts;
}

/** Whether adjacent parts of this kind are merged. */
export function isPlainText(part: Part): part is Part & { text: string } {
  return part.text !== undefined && part.metadata === undefined && part.filename === undefined;
}

/** Returns the payload of the event of a state without a message. */
export function createStateEvent(
  taskId: string,
  contextId: string,
  state: TaskState,
  timestamp: string,
): EventPayload {
  return { statusUpdate: { taskId, contextId, status: { state, timestamp } } };
}
