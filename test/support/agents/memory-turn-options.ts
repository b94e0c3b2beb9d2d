/** Options of a turn in memory (memory-turn.ts). */
import type {
  CallOptions,
  CallResult,
  EarlierTurn,
  History,
  StepOptions,
  Turn,
} from '#services/worker/agent/agent.ts';
import type { StoredReplyRow } from '#shared/db/models/stored-replies.ts';
import type { ArtifactUpdate } from '#shared/domain/events.ts';
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import type { StreamCursor } from '#shared/domain/wait.ts';

export interface MemoryStep {
  name: string;
  result: string;
  options: StepOptions;
}

export interface MemoryTurnOptions extends Partial<
  Pick<Turn, 'taskId' | 'number' | 'references' | 'acceptedOutputModes' | 'signal' | 'metadata'>
> {
  history?: History['entries'];
  historyComplete?: boolean;
  earlierTurns?: readonly EarlierTurn[];
  message: Part[] | string;
  definition: JsonObject;
  /** Recorded by an earlier run. */
  steps?: Map<string, MemoryStep>;
  updates?: ArtifactUpdate[];
  /** Crashes once this step (such as `model#1`) is recorded. */
  crashAfter?: string;
  /** The id of an interaction that a webhook has reported. */
  reported?: string;
  /** An earlier run has recorded the intent of its call at Google. Default: false. */
  knownWait?: boolean;
  /** The tokens of its calls at Google, in order. Default: `token`. */
  tokens?: readonly string[];
  /** The replies that have completed other tasks, by id of the task. */
  storedReplies?: Record<string, StoredReplyRow>;
  /** The answers to callbacks, by name. */
  answers?: Record<string, Json>;
  /** The other agents, by name. */
  agents?: Record<string, (text: string, options: CallOptions) => CallResult>;
  /** Returns how a task of a tool has ended, or what it asks. */
  followTask?: ((server: string, taskId: string) => Promise<CallResult>) | undefined;
  /** The age of calls at Google when they are polled. Default: 0. */
  ageSeconds?: number;
  /** Where the streams of calls at Google are, as an earlier run has stored it. */
  cursors?: Map<string, StreamCursor>;
  /** Crashes once so many chunks of such a stream are stored. */
  crashAfterChunk?: number;
}
