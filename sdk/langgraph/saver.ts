/**
 * A checkpointer of LangGraph on the record of a turn. Reads are served from memory; each checkpoint, and the writes of each
 * task, is one entry of a log, which is restored when the turn runs again, and read by later turns:
 *
 *   input ─▶ checkpoint ─▶ tasks ─▶ writes of each task, when it ends ─▶ checkpoint ─▶ …
 *
 * The values of channels are recorded once for each version. The record of a turn has all values that its checkpoints need, so
 * a later turn needs no older record.
 */
import { isDeepStrictEqual } from 'node:util';
import type { RunnableConfig } from '@langchain/core/runnables';
import {
  BaseCheckpointSaver,
  getCheckpointId,
  maxChannelVersion,
  WRITES_IDX_MAP,
  type ChannelVersions,
  type Checkpoint,
  type CheckpointListOptions,
  type CheckpointMetadata,
  type CheckpointTuple,
  type PendingWrite,
  type SerializerProtocol,
} from '@langchain/langgraph-checkpoint';
import { readConfig, toConfig } from './config.ts';
import {
  Threads,
  type CheckpointEntry,
  type Namespace,
  type SavedWrite,
  type ThreadEntry,
  type Version,
  type WritesEntry,
} from './threads.ts';
import { dump, load, shorten } from './values.ts';

/** The channel of tasks that a node has sent, in checkpoints of LangGraph before 1.0. */
const sendsChannel = '__pregel_tasks';

export interface SaverOptions {
  /** The entries of earlier turns and runs, oldest first. */
  entries?: readonly ThreadEntry[];
  /** Records an entry. */
  append: (entry: ThreadEntry) => Promise<void>;
  serde?: SerializerProtocol;
}

export class TurnSaver extends BaseCheckpointSaver {
  readonly threads = new Threads();
  readonly #append: SaverOptions['append'];
  /** The values that this record has: of each namespace, the versions by channel, oldest first. */
  readonly #recorded = new Map<string, Map<string, Version[]>>();
  /** The entries that are being recorded. */
  readonly #storing = new Set<Promise<unknown>>();

  constructor({ entries = [], append, serde }: SaverOptions) {
    super(serde);
    this.#append = append;
    for (const entry of entries) this.threads.apply(entry);
  }

  /** Follows entries that the record of this turn has already. */
  restore(entries: readonly ThreadEntry[]): void {
    for (const entry of entries) {
      this.threads.apply(entry);
      if (!('values' in entry)) continue;
      for (const [channel, version] of entry.values) this.#getVersions(entry, channel).push(version);
    }
  }

  /** Resolves when all that was put is recorded, or has failed to be. */
  async settled(): Promise<void> {
    while (this.#storing.size > 0) await Promise.allSettled(this.#storing);
  }

  #track<T>(stored: Promise<T>): Promise<T> {
    this.#storing.add(stored);
    const end = (): void => void this.#storing.delete(stored);
    stored.then(end, end);
    return stored;
  }

  async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    const { thread, ns } = readConfig(config);
    if (thread === undefined) return undefined;
    const namespace = this.threads.get(thread, ns);
    const id = getCheckpointId(config) || namespace?.ids[0];
    if (namespace === undefined || id === undefined) return undefined;
    return this.#toTuple(namespace, thread, ns, id);
  }

  async *list(
    config: RunnableConfig,
    { limit = Number.POSITIVE_INFINITY, before, filter = {} }: CheckpointListOptions = {},
  ): AsyncGenerator<CheckpointTuple> {
    const { thread } = readConfig(config);
    const ns = config.configurable?.['checkpoint_ns'] as string | undefined;
    const only = getCheckpointId(config);
    const end = before === undefined ? '' : getCheckpointId(before);
    let left = limit;
    for (const name of thread === undefined ? this.threads.names : [thread]) {
      for (const [key, namespace] of this.threads.getNamespaces(name)) {
        if (ns !== undefined && ns !== key) continue;
        for (const id of namespace.ids) {
          if ((only !== '' && id !== only) || (end !== '' && id >= end)) continue;
          const tuple = await this.#toTuple(namespace, name, key, id);
          const metadata = (tuple?.metadata ?? {}) as Record<string, unknown>;
          if (
            tuple === undefined ||
            !Object.entries(filter).every(([field, value]) => metadata[field] === value)
          )
            continue;
          if (left <= 0) return;
          left -= 1;
          yield tuple;
        }
      }
    }
  }

  put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    return this.#track(this.#put(config, checkpoint, metadata, newVersions));
  }

  async #put(
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    newVersions: ChannelVersions,
  ): Promise<RunnableConfig> {
    const { thread, ns, id: parent } = readConfig(config);
    if (thread === undefined) throw new Error('put: the config has no thread_id.');
    const { channel_values: values, ...rest } = checkpoint;
    const entry: CheckpointEntry = {
      thread,
      ns,
      id: checkpoint.id,
      ...(parent !== undefined && { parent }),
      checkpoint: await dump(this.serde, rest),
      metadata: await dump(this.serde, metadata),
      values: [],
    };
    const namespace = this.threads.get(thread, ns);
    for (const [channel, version] of Object.entries(checkpoint.channel_versions)) {
      const versions = this.#getVersions(entry, channel);
      if (versions.includes(version)) continue;
      const isNew = newVersions[channel] === version && Object.hasOwn(values, channel);
      const value = isNew ? await dump(this.serde, values[channel]) : namespace?.getValue(channel, version);
      if (value === undefined) continue;
      const last = versions.at(-1);
      const before = namespace?.getValue(channel, last);
      const previous =
        last === undefined || before === undefined ? undefined : { version: last, value: before };
      entry.values.push([channel, version, shorten(value, previous)]);
      versions.push(version);
    }
    this.threads.apply(entry);
    await this.#append(entry);
    return toConfig(thread, ns, checkpoint.id);
  }

  override putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
    taskPath = '',
  ): Promise<void> {
    return this.#track(this.#putWrites(config, writes, taskId, taskPath));
  }

  async #putWrites(
    config: RunnableConfig,
    writes: PendingWrite[],
    taskId: string,
    taskPath: string,
  ): Promise<void> {
    const { thread, ns, id } = readConfig(config);
    if (thread === undefined) throw new Error('putWrites: the config has no thread_id.');
    if (id === undefined) throw new Error('putWrites: the config has no checkpoint_id.');
    // The answer to an interrupt, under the id of the interrupt: nothing reads it, and it would be recorded in each run.
    if (isInterruptId(taskId)) return;
    const entry: WritesEntry = {
      thread,
      ns,
      id,
      task: taskId,
      path: taskPath,
      writes: await Promise.all(
        writes.map(async ([channel, value], index): Promise<WritesEntry['writes'][number]> => [
          WRITES_IDX_MAP[channel] ?? index,
          channel,
          await dump(this.serde, value),
        ]),
      ),
    };
    // A task that has not ended runs again, and notes the same interrupt again.
    const known = this.threads.get(thread, ns)?.getWrites(id) ?? [];
    if (entry.writes.every((write) => known.some((other) => isSame(other, taskId, write)))) return;
    this.threads.apply(entry);
    await this.#append(entry);
  }

  async deleteThread(threadId: string): Promise<void> {
    const entry = { deleted: threadId };
    this.threads.apply(entry);
    for (const key of this.#recorded.keys()) {
      if ((JSON.parse(key) as [string])[0] === threadId) this.#recorded.delete(key);
    }
    await this.#append(entry);
  }

  #getVersions({ thread, ns }: { thread: string; ns: string }, channel: string): Version[] {
    const key = JSON.stringify([thread, ns]);
    const channels = this.#recorded.get(key) ?? new Map<string, Version[]>();
    const versions = channels.get(channel) ?? [];
    this.#recorded.set(key, channels.set(channel, versions));
    return versions;
  }

  async #toTuple(
    namespace: Namespace,
    thread: string,
    ns: string,
    id: string,
  ): Promise<CheckpointTuple | undefined> {
    const saved = namespace.checkpoints.get(id);
    if (saved === undefined) return undefined;
    const checkpoint = (await load(this.serde, saved.checkpoint)) as Checkpoint;
    checkpoint.channel_values = {};
    for (const [channel, version] of Object.entries(checkpoint.channel_versions)) {
      const value = namespace.getValue(channel, version);
      if (value !== undefined) checkpoint.channel_values[channel] = await load(this.serde, value);
    }
    const { parent } = saved;
    if (checkpoint.v < 4 && parent !== undefined) await this.#addSends(namespace, checkpoint, parent);
    return {
      config: toConfig(thread, ns, id),
      checkpoint,
      metadata: (await load(this.serde, saved.metadata)) as CheckpointMetadata,
      ...(parent !== undefined && { parentConfig: toConfig(thread, ns, parent) }),
      pendingWrites: await this.#getPendingWrites(namespace, id),
    };
  }

  async #getPendingWrites(namespace: Namespace, id: string): Promise<[string, string, unknown][]> {
    return Promise.all(
      namespace
        .getWrites(id)
        .map(async ({ task, channel, value }): Promise<[string, string, unknown]> => [
          task,
          channel,
          await load(this.serde, value),
        ]),
    );
  }

  /** Before version 4, the tasks that nodes have sent were only among the writes of the parent. */
  async #addSends(namespace: Namespace, checkpoint: Checkpoint, parent: string): Promise<void> {
    const writes = await this.#getPendingWrites(namespace, parent);
    const versions = Object.values(checkpoint.channel_versions);
    checkpoint.channel_values[sendsChannel] = writes.flatMap(([, channel, value]) =>
      channel === sendsChannel ? [value] : [],
    );
    checkpoint.channel_versions[sendsChannel] =
      versions.length > 0 ? maxChannelVersion(...versions) : this.getNextVersion(undefined);
  }
}

function isInterruptId(id: string): boolean {
  return /^[0-9a-f]{32}$/.test(id);
}

function isSame(
  known: SavedWrite,
  task: string,
  [index, channel, value]: WritesEntry['writes'][number],
): boolean {
  return (
    known.task === task &&
    known.index === index &&
    known.channel === channel &&
    isDeepStrictEqual(known.value, value)
  );
}
