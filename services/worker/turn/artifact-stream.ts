/**
 * Writes an artifact in pieces. They are batched into chunks of about 100 ms or 1 KiB, so that streaming needs few
 * database writes. The first chunk replaces what an interrupted run wrote under the same id. The last chunk also stores
 * the whole artifact, for reads.
 */
import type { NewEvent } from '#shared/db/turns/write.ts';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import type { Artifact, Part } from '#shared/domain/message.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { ArtifactStream } from '../agent/agent.ts';

const chunkMs = 100;
const chunkChars = 1024;

export interface ArtifactTarget {
  taskId: string;
  contextId: string;
  /** Stores large parts as files; see files.ts. */
  storeLargeParts: (parts: Part[]) => Promise<Part[]>;
  /** Stores an event of the turn; rejects when the lease is lost. */
  write: (event: NewEvent) => Promise<void>;
}

export function openArtifactStream(target: ArtifactTarget, head: Omit<Artifact, 'parts'>): ArtifactStream {
  let buffered: Part[] = [];
  let bufferedChars = 0;
  let started = false;
  let whole: Artifact | undefined;
  let timer: NodeJS.Timeout | undefined;
  let failed = false;
  let written: Promise<void> = Promise.resolve();

  function flush(last: boolean): void {
    clearTimeout(timer);
    timer = undefined;
    if (buffered.length === 0 && !(last && started)) return;
    // A chunk has at least one part (A2A section 4.1.7); an empty text changes nothing.
    const parts = joinTexts(buffered.length === 0 ? [{ text: '' }] : buffered);
    const position = { append: started, lastChunk: last };
    started = true;
    buffered = [];
    bufferedChars = 0;
    written = written.then(async () => {
      const artifact = { ...head, parts: await target.storeLargeParts(parts) };
      const update = createArtifactUpdate(target, artifact, position);
      [whole] = foldArtifacts([update], whole === undefined ? [] : [whole]);
      await target.write(createArtifactEvent(update, last ? whole : undefined));
      if (!last) passFaultPoint('chunk-stored');
    });
    // close() reports the failure; the turn's own signal aborts a turn that has lost its lease.
    written.catch(() => (failed = true));
  }

  return {
    write: (part) => {
      if (failed) return;
      buffered.push(part);
      bufferedChars += part.text?.length ?? chunkChars;
      if (bufferedChars >= chunkChars) flush(false);
      else timer ??= setTimeout(() => flush(false), chunkMs);
    },
    close: async () => {
      flush(true);
      await written;
    },
  };
}

export function createArtifactUpdate(
  task: { taskId: string; contextId: string },
  artifact: Artifact,
  position: { append: boolean; lastChunk: boolean },
): ArtifactUpdate {
  return { taskId: task.taskId, contextId: task.contextId, artifact, ...position };
}

/** @param whole the artifact after this update, if the update completes it */
export function createArtifactEvent(update: ArtifactUpdate, whole: Artifact | undefined): NewEvent {
  const { artifactId } = update.artifact;
  return {
    kind: 'artifact',
    payload: JSON.stringify({ artifactUpdate: update }),
    artifact: { artifactId, ...(whole !== undefined && { whole: JSON.stringify(whole) }) },
  };
}

function joinTexts(parts: readonly Part[]): Part[] {
  const [artifact] = foldArtifacts([
    { taskId: '', contextId: '', artifact: { artifactId: '', parts: [...parts] } },
  ]);
  return artifact?.parts ?? [];
}
