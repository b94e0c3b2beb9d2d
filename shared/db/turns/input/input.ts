/**
 * The input of a turn: what the claim has read, or what is read now if it was too much for the claim. The history is
 * read only if the agent asks for it. The agent's definition is read once for each process.
 */
import type { JsonObject } from '../../../domain/message.ts';
import type { Usage } from '../../../domain/usage.ts';
import { readEarlierCall, type EarlierCall } from '../../calls/earlier.ts';
import type { Db } from '../../client/pool.ts';
import { readStoredReply, type StoredReplyRow } from '../../models/stored-replies.ts';
import { createAgentReader } from '../../tasks/agents.ts';
import { toContextKey } from '../../tasks/context-key.ts';
import type { Claimed } from '../claim.ts';
import { readReferences, type TaskReference } from './references.ts';
import { HistoryCache } from '../history/cache.ts';
import { noHistory, readHistory, type StoredHistory } from '../history/read.ts';
import { readContextSteps, type TurnSteps } from '../history/steps.ts';
import type { InputMemory } from './input-memory.ts';
import { readTurnContent } from './stored-input.ts';
import type { RecordedStep, TurnContent } from '../turn-content.ts';

export interface TurnInput extends TurnContent {
  contextId: string;
  owner: string;
  tenant: string;
  definition: JsonObject;
  /** The owner's tasks that the message refers to. */
  references: TaskReference[];
  /**
   * Reads the newest turns of the context before this one, up to a number of at most 500.
   *
   * @throws {Error} if the history cannot be read
   */
  readHistory: (maxTurns: number) => Promise<TurnHistory>;
  /** Reads the steps of these names in the newest turns of the context before this one. See history/steps.ts. */
  readSteps: (names: readonly string[], maxTurns: number) => Promise<TurnSteps[]>;
  /** See db/models/stored-replies.ts. */
  readStoredReply: (turn: { taskId: string; turn: number }) => Promise<StoredReplyRow | undefined>;
  /** Returns the last call under this name in an earlier turn of the context; undefined if there is none. */
  readEarlierCall: (name: string) => Promise<EarlierCall | undefined>;
  /** Usage of the task so far; undefined if it has called no model. */
  usage: Usage | undefined;
}

export interface TurnHistory extends StoredHistory {
  /** The owner's tasks that earlier messages of this task refer to. */
  references: TaskReference[];
}

/**
 * @throws {FatalError} if the input exceeds its bounds
 * @throws {Error} if the input cannot be read
 */
export type ReadTurnInput = (claimed: Claimed, memory: InputMemory) => Promise<TurnInput>;

/** Returns the seconds that the turn has waited. Waits that overlap count once. */
function countWaitedSeconds(steps: readonly RecordedStep[]): number {
  const waits = steps.flatMap(({ wait }) => (wait === null ? [] : [wait]));
  let waited = 0;
  let countedTo = Number.POSITIVE_INFINITY;
  for (const wait of waits.toSorted((a, b) => b.startedSecondsAgo - a.startedSecondsAgo)) {
    const from = Math.min(wait.startedSecondsAgo, countedTo);
    waited += Math.max(0, from - wait.endedSecondsAgo);
    countedTo = Math.min(countedTo, wait.endedSecondsAgo);
  }
  return waited;
}

/**
 * @param options.recordBytes maximum size of the record of one turn, in bytes of JSON
 * @param options.cache keeps histories that were read. Default: none are kept
 */
export function createInputReader(
  db: Db,
  { recordBytes, cache = new HistoryCache(() => 0) }: { recordBytes: number; cache?: HistoryCache },
): ReadTurnInput {
  const readAgent = createAgentReader(db);
  return async ({ lease, task, content, hasHistory }, memory) => {
    const { taskId } = lease;
    const read = content ?? (await readTurnContent(db, lease, { recordBytes, memory, owner: task.owner }));
    const openMemory = countOnce(memory);
    return {
      ...read,
      tenant: task.tenant,
      owner: task.owner,
      contextId: task.contextId,
      usage: task.usage,
      definition: await readAgent(task.agentHash),
      references: await readReferences(db, task, taskId, [read]),
      startedSecondsAgo: Math.max(0, read.startedSecondsAgo - countWaitedSeconds(read.steps)),
      readStoredReply: (turn) => readStoredReply(db, turn),
      readEarlierCall: async (name) =>
        hasHistory ? readEarlierCall(db, lease, toContextKey(task), name) : undefined,
      readSteps: async (names, maxTurns) =>
        hasHistory && maxTurns > 0
          ? readContextSteps(db, lease, toContextKey(task), names, {
              maxTurns,
              recordBytes: recordBytes - read.recordBytes,
              memory: openMemory(),
              owner: task.owner,
            })
          : [],
      readHistory: async (maxTurns) => {
        const history =
          hasHistory && maxTurns > 0
            ? await readHistory({ db, cache }, lease, toContextKey(task), {
                maxTurns,
                recordBytes: recordBytes - read.recordBytes,
                memory: openMemory(),
                owner: task.owner,
              })
            : { ...noHistory, complete: !hasHistory };
        const own = history.exchanges.filter((exchange) => exchange.taskId === taskId);
        return { ...history, references: await readReferences(db, task, taskId, own) };
      },
    };
  };
}

/** Takes the memory of what is read again, after an error or for a second call, only once. */
function countOnce(memory: InputMemory): () => InputMemory {
  let taken = 0;
  return () => {
    let wanted = 0;
    return {
      maxBytes: memory.maxBytes,
      take: async (bytes) => {
        wanted += bytes;
        const missing = wanted - taken;
        if (missing <= 0) return;
        await memory.take(missing);
        taken += missing;
      },
    };
  };
}
