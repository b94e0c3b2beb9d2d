/**
 * Writes an artifact in pieces. They are batched into chunks of about 100 ms or 1 KiB, so that streaming needs few
 * database writes. The first chunk replaces what an interrupted run wrote under the same id. The last chunk also stores
 * the whole artifact, for reads. So does every chunk after 512 KiB of chunks, so that reads have little to fold.
 *
 * The stream of a model at Google is continued after a crash: each chunk is stored with a mark that says how much of it
 * is stored, and the next run appends to what it finds.
 */
import type { NewEvent, NewStep } from '#shared/db/turns/write.ts';
import { foldArtifacts, type ArtifactUpdate } from '#shared/domain/events.ts';
import type { Artifact, Part } from '#shared/domain/message.ts';
import { maxEventBytes, measure } from '#shared/domain/sizes.ts';
import { passFaultPoint } from '#shared/runtime/fault-points.ts';
import type { ArtifactStream } from '../../agent/agent.ts';
import type { ArtifactBudget } from './artifact-budget.ts';
import type { TurnFiles } from './files.ts';
import { StreamedParts } from './streamed-parts.ts';

const chunkMs = 100;
const chunkChars = 1024;

export interface ArtifactTarget {
  taskId: string;
  contextId: string;
  files: Pick<TurnFiles, 'fit' | 'store'>;
  budget: ArtifactBudget;
  /** Stores an event of the turn, and a mark with it; rejects when the lease is lost. */
  write: (event: NewEvent, mark: NewStep | undefined) => Promise<void>;
}

export interface MarkedArtifactStream extends ArtifactStream {
  /** @param mark is stored with the chunk that contains the part, unless the chunk has a later mark */
  write(part: Part, mark?: NewStep): void;
  /** Resolves when what was written is stored. */
  flush(): Promise<void>;
  /** Does the same, and leaves the artifact without a last chunk: another stream continues or replaces it. */
  leave(): Promise<void>;
}

/** @param stored what an earlier run has written, and this one continues */
export function openArtifactStream(
  target: ArtifactTarget,
  head: Omit<Artifact, 'parts'>,
  stored: readonly Part[] = [],
): MarkedArtifactStream {
  const content = new StreamedParts(nameArtifact(head), target.files);
  const headBytes = measure(head);
  let buffered: Part[] = [];
  let bufferedChars = 0;
  let bufferedMark: NewStep | undefined;
  let started = stored.length > 0;
  let restored = !started;
  /** Characters of the chunks since the artifact was stored as a whole. */
  let unfolded = 0;
  let timer: NodeJS.Timeout | undefined;
  let failed = false;
  let written: Promise<void> = Promise.resolve();

  function flush(last: boolean): void {
    clearTimeout(timer);
    timer = undefined;
    if (buffered.length === 0 && !(last && started)) return;
    const parts = joinTexts(buffered);
    const append = started;
    const mark = bufferedMark;
    started = true;
    buffered = [];
    bufferedChars = 0;
    bufferedMark = undefined;
    written = written.then(async () => {
      await target.budget.spend(head.artifactId, (maxBytes) =>
        write(parts, { append, last, mark }, maxBytes),
      );
      if (!last) passFaultPoint('chunk-stored');
    });
    // close() reports the failure; the turn's own signal aborts a turn that has lost its lease.
    written.catch(() => (failed = true));
  }

  /** @returns the bytes of the artifact so far */
  async function write(
    parts: Part[],
    { append, last, mark }: { append: boolean; last: boolean; mark: NewStep | undefined },
    maxBytes: number,
  ): Promise<number> {
    if (!restored) {
      restored = true;
      await content.add(stored, maxBytes - headBytes);
    }
    let change = await content.add(parts, maxBytes - headBytes);
    if (last) {
      const end = await content.finish(maxBytes - headBytes);
      if (end.replaces) change = end;
    }
    // A chunk has at least one part (A2A section 4.1.7); an empty text changes nothing.
    const chunk = change.parts.length === 0 ? [{ text: '' }] : change.parts;
    const position = { append: append && !change.replaces, lastChunk: last };
    const update = createArtifactUpdate(target, { ...head, parts: chunk }, position);
    unfolded += measure(chunk);
    const isWhole = last || change.replaces || unfolded > maxEventBytes;
    if (isWhole) unfolded = 0;
    await target.write(
      createArtifactEvent(update, isWhole ? { ...head, parts: content.all } : undefined),
      mark,
    );
    return headBytes + change.bytes;
  }

  const flushAll = async (): Promise<void> => {
    flush(false);
    await written;
  };

  return {
    write: (part, mark) => {
      if (failed) return;
      buffered.push(part);
      bufferedMark = mark ?? bufferedMark;
      bufferedChars += part.text?.length ?? chunkChars;
      if (bufferedChars >= chunkChars) flush(false);
      else timer ??= setTimeout(() => flush(false), chunkMs);
    },
    flush: flushAll,
    leave: flushAll,
    close: async () => {
      flush(true);
      await written;
    },
  };
}

/** Names an artifact in errors. */
export function nameArtifact({ artifactId }: Pick<Artifact, 'artifactId'>): string {
  return `The artifact "${artifactId}"`;
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
