/** The checkpoints of threads, in memory, as the entries of a log describe them. */
import { restore, type Recorded, type Stored } from './values.ts';

export type Version = number | string;

export type CheckpointEntry = {
  thread: string;
  ns: string;
  id: string;
  parent?: string;
  /** The checkpoint without its values. */
  checkpoint: Stored;
  metadata: Stored;
  /** The values of channels that the record does not have yet: name, version, value. */
  values: [string, Version, Recorded][];
  /** The nodes of the graph, and the tools of each: see shape.ts. */
  shape?: Record<string, string[]>;
};

export type WritesEntry = {
  thread: string;
  ns: string;
  id: string;
  task: string;
  path: string;
  /** The place among the writes of the task (negative for those of LangGraph itself), the channel, the value. */
  writes: [number, string, Stored][];
  /** The texts of the task's model calls, as clients have them. */
  texts?: string[];
};

export type ThreadEntry = CheckpointEntry | WritesEntry | { deleted: string };

export interface SavedCheckpoint {
  parent: string | undefined;
  checkpoint: Stored;
  metadata: Stored;
}

export interface SavedWrite {
  task: string;
  path: string;
  index: number;
  channel: string;
  value: Stored;
}

export class Namespace {
  readonly checkpoints = new Map<string, SavedCheckpoint>();
  /** By channel and version. */
  readonly values = new Map<string, Map<Version, Stored>>();
  /** By checkpoint, then by task and index. */
  readonly writes = new Map<string, Map<string, SavedWrite>>();

  /** The ids of the checkpoints, newest first: they are sorted by time. */
  get ids(): string[] {
    return [...this.checkpoints.keys()].toSorted().toReversed();
  }

  getValue(channel: string, version: Version | undefined): Stored | undefined {
    return version === undefined ? undefined : this.values.get(channel)?.get(version);
  }

  setValue(channel: string, version: Version, value: Stored): void {
    const versions = this.values.get(channel) ?? new Map<Version, Stored>();
    versions.set(version, value);
    this.values.set(channel, versions);
  }

  /** In the order in which LangGraph applies them. */
  getWrites(id: string): SavedWrite[] {
    return [...(this.writes.get(id)?.values() ?? [])].toSorted(
      (a, b) => compareCodePoints(a.path, b.path) || compareCodePoints(a.task, b.task) || a.index - b.index,
    );
  }
}

export class Threads {
  readonly #threads = new Map<string, Map<string, Namespace>>();

  get names(): string[] {
    return [...this.#threads.keys()];
  }

  getNamespaces(thread: string): ReadonlyMap<string, Namespace> {
    return this.#threads.get(thread) ?? new Map<string, Namespace>();
  }

  get(thread: string, ns: string): Namespace | undefined {
    return this.#threads.get(thread)?.get(ns);
  }

  /** Follows an entry of the log. */
  apply(entry: ThreadEntry): void {
    if ('deleted' in entry) {
      this.#threads.delete(entry.deleted);
      return;
    }
    const namespace = this.#open(entry.thread, entry.ns);
    if ('task' in entry) {
      applyWrites(namespace, entry);
      return;
    }
    const { id, parent, checkpoint, metadata, values } = entry;
    for (const [channel, version, recorded] of values) {
      const value = restore(recorded, (from) => namespace.getValue(channel, from));
      namespace.setValue(channel, version, value);
    }
    namespace.checkpoints.set(id, { parent, checkpoint, metadata });
  }

  #open(thread: string, ns: string): Namespace {
    const namespaces = this.#threads.get(thread) ?? new Map<string, Namespace>();
    const namespace = namespaces.get(ns) ?? new Namespace();
    this.#threads.set(thread, namespaces.set(ns, namespace));
    return namespace;
  }
}

function applyWrites(namespace: Namespace, { id, task, path, writes }: WritesEntry): void {
  const known = namespace.writes.get(id) ?? new Map<string, SavedWrite>();
  namespace.writes.set(id, known);
  for (const [index, channel, value] of writes) {
    const key = `${task},${index}`;
    // The first result of a task stays; what LangGraph notes about it (an error, an interrupt) is replaced.
    if (index >= 0 && known.has(key)) continue;
    known.set(key, { task, path, index, channel, value });
  }
}

/** Compares by code points, as LangGraph does: the order of UTF-8 is theirs, and `<` compares UTF-16. */
function compareCodePoints(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b));
}
