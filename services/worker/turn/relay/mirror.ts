/**
 * Shows the output of another agent's task as that of ours. Each chunk is stored together with a record of how much is
 * stored, so that another run of the turn continues after it: no chunk is stored twice.
 *
 *   snapshot (GetTask) ─▶ what follows the stored content ─▶ chunk + record
 *   event of a stream  ──────────────────────────────────▶ chunk + record
 *
 * One artifact is written at a time: the record that is stored with a chunk says nothing about chunks that are not.
 */
import { canonicalHash } from '#shared/agent/canonical-hash.ts';
import type { NewStep } from '#shared/db/turns/write.ts';
import { FatalError } from '#shared/domain/errors.ts';
import type { Artifact, Part } from '#shared/domain/message.ts';
import { measure } from '#shared/domain/sizes.ts';
import { getStateClass, stateClass } from '#shared/domain/task.ts';
import type { ShownOutput } from '#shared/domain/wait.ts';
import type { RemoteEvent, RemoteTask } from '../../agent/remote/agent.ts';
import type { MarkedArtifactStream } from '../output/artifact-stream.ts';
import { ContentCursor, findRest, joinTexts } from './cursor.ts';
import { ShownArtifacts } from './ids.ts';

/** The most that the events of one stream may bring. */
const maxStreamBytes = 16 * 1024 * 1024;
/** The time between two status messages of a stream. */
const statusMs = 1_000;
/** The most that waits to be stored. */
const maxPendingBytes = 64 * 1024;

type Head = Omit<Artifact, 'parts'>;

interface Target {
  head: Head;
  cursor: ContentCursor;
  /** Undefined: nothing was written in this run. */
  stream: MarkedArtifactStream | undefined;
}

export interface MirrorParts {
  /** Returns the parts of an artifact as clients have them. */
  readArtifact: (artifactId: string) => Promise<Part[] | undefined>;
  openArtifact: (head: Head, stored: readonly Part[]) => MarkedArtifactStream;
  showProgress: (parts: Part[], mark: NewStep) => Promise<void>;
  /** The record of what is shown. */
  toMark: (shown: ShownOutput) => NewStep;
}

export class Mirror {
  readonly #parts: MirrorParts;
  readonly #artifacts: ShownArtifacts;
  readonly #targets = new Map<string, Target>();
  #status: string | undefined;
  #statusAt = Number.NEGATIVE_INFINITY;
  #resends: number;
  /** The artifact with content that may not be stored yet. */
  #writing: Target | undefined;
  #pendingBytes = 0;
  #streamedBytes = 0;

  constructor(shown: ShownOutput, parts: MirrorParts) {
    this.#parts = parts;
    this.#artifacts = new ShownArtifacts(shown);
    this.#status = shown.status;
    this.#resends = shown.resends ?? 0;
  }

  get shown(): ShownOutput {
    return {
      ...this.#artifacts.toJson(),
      ...(this.#status !== undefined && { status: this.#status }),
      ...(this.#resends > 0 && { resends: this.#resends }),
    };
  }

  get resends(): number {
    return this.#resends;
  }

  /** Stores what is new in a task. Returns whether anything was. */
  async show(task: RemoteTask): Promise<boolean> {
    let changed = false;
    for (const artifact of task.artifacts) changed = (await this.#update(artifact)) || changed;
    changed = (await this.#showStatus(task)) || changed;
    await this.flush();
    return changed;
  }

  /**
   * Stores what an event of a stream brings, in part later: see `show` and `finish`. The task that a stream starts with is
   * a snapshot, for `show`.
   *
   * @throws {FatalError} if the events bring more than 16 MiB
   */
  async add(event: RemoteEvent): Promise<void> {
    this.#streamedBytes += measure(event);
    if (this.#streamedBytes > maxStreamBytes) {
      throw new FatalError(`The agent behind this one has streamed more than ${maxStreamBytes} bytes.`);
    }
    if ('task' in event) {
      for (const artifact of event.task.artifacts) await this.#update(artifact);
      await this.#showStatusRarely(event.task);
      if (this.#pendingBytes > maxPendingBytes) await this.flush();
      return;
    }
    if ('status' in event) {
      await this.#showStatusRarely(event.status);
      return;
    }
    const { artifact, append, lastChunk } = event;
    const { parts, artifactId, ...head } = artifact;
    const id = this.#artifacts.toOwnId(artifactId);
    const target = append ? this.#targets.get(id) : undefined;
    if (target === undefined) {
      await this.#update(artifact);
    } else {
      target.head = { ...target.head, ...head };
      await this.#write(id, target, parts);
    }
    if (lastChunk) await this.#close(id);
    else if (this.#pendingBytes > maxPendingBytes) await this.flush();
  }

  /** Stores what is new in a task that has ended, or waits for its caller, and closes its artifacts. */
  async finish(task: RemoteTask): Promise<void> {
    for (const artifact of task.artifacts) {
      await this.#update(artifact);
      await this.#close(this.#artifacts.toOwnId(artifact.artifactId));
    }
    for (const id of this.#artifacts.lost) {
      // Its task was lost, and the one that followed has no such artifact.
      const stream = this.#parts.openArtifact({ artifactId: id }, []);
      stream.write({ text: '' });
      await stream.close();
    }
    await this.flush();
  }

  /** Its task is lost, and the message is sent again. */
  async lose(text: string): Promise<void> {
    await this.flush();
    for (const { stream } of this.#targets.values()) await stream?.leave();
    this.#targets.clear();
    this.#artifacts.lose();
    this.#resends += 1;
    this.#status = undefined;
    await this.#parts.showProgress([{ text }], this.#parts.toMark(this.shown));
  }

  async #update(artifact: Artifact): Promise<boolean> {
    const { parts: given, ...rest } = artifact;
    const parts = joinTexts(given);
    // An artifact has at least one part (A2A 1.0, section 4.1.7).
    if (parts.length === 0) return false;
    const id = this.#artifacts.toOwnId(artifact.artifactId);
    const head = { ...rest, artifactId: id };
    const shown = this.#artifacts.get(id);
    const found = shown && findRest(parts, shown);
    const stream = this.#targets.get(id)?.stream;
    if (found === undefined) {
      await this.flush();
      await stream?.leave();
      const target = { head, cursor: new ContentCursor(), stream: this.#parts.openArtifact(head, []) };
      this.#targets.set(id, target);
      await this.#write(id, target, parts);
      return true;
    }
    const target = { head, cursor: found.cursor, stream };
    this.#targets.set(id, target);
    if (found.rest.length === 0) return false;
    await this.#write(id, target, found.rest);
    return true;
  }

  async #write(id: string, target: Target, parts: readonly Part[], closed = false): Promise<void> {
    const { cursor } = target;
    if (this.#writing !== target) await this.flush();
    this.#writing = target;
    const stream = (target.stream ??= await this.#reopen(target));
    for (const part of parts) {
      cursor.advance(part);
      const before = this.#artifacts.get(id);
      this.#artifacts.set(id, {
        ...cursor.position,
        head: before?.head ?? hashHead(target.head),
        ...(closed && { closed: true }),
      });
      this.#pendingBytes += measure(part);
      stream.write(part, this.#parts.toMark(this.shown));
    }
  }

  /** Continues what an earlier run has stored. */
  async #reopen({ head }: Target): Promise<MarkedArtifactStream> {
    return this.#parts.openArtifact(head, (await this.#parts.readArtifact(head.artifactId)) ?? []);
  }

  /** Marks the last chunk of an artifact, once. */
  async #close(id: string): Promise<void> {
    const target = this.#targets.get(id);
    const shown = this.#artifacts.get(id);
    if (target === undefined || shown === undefined) return;
    const head = hashHead(target.head);
    if (shown.closed === true && shown.head === head) return;
    if (shown.head !== head) {
      await this.flush();
      await target.stream?.leave();
      target.stream = await this.#reopen(target);
      this.#artifacts.set(id, { ...shown, head });
    }
    await this.#write(id, target, [{ text: '' }], true);
    const { stream } = target;
    target.stream = undefined;
    this.#writing = undefined;
    this.#pendingBytes = 0;
    await stream?.close();
  }

  /** Resolves when all that was added is stored. */
  async flush(): Promise<void> {
    await this.#writing?.stream?.flush();
    this.#writing = undefined;
    this.#pendingBytes = 0;
  }

  /** Leaves out what follows another status message too soon: the end of the stream, or a poll, shows the last one. */
  async #showStatusRarely(status: Pick<RemoteTask, 'state' | 'message'>): Promise<void> {
    if (performance.now() - this.#statusAt >= statusMs) await this.#showStatus(status);
  }

  async #showStatus({ state, message }: Pick<RemoteTask, 'state' | 'message'>): Promise<boolean> {
    if (message.length === 0 || getStateClass(state) !== stateClass.runnable) return false;
    const hash = canonicalHash(message).slice(0, 22);
    if (hash === this.#status) return false;
    await this.flush();
    this.#status = hash;
    this.#statusAt = performance.now();
    await this.#parts.showProgress(message, this.#parts.toMark(this.shown));
    return true;
  }
}

function hashHead({ artifactId: _id, ...head }: Head): string {
  return canonicalHash(head).slice(0, 16);
}
