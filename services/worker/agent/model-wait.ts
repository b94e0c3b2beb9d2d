/**
 * Waits for calls of the model that run at Google (docs/develop/gemini.md). For the Gemini agent, not for agents in code.
 *
 *   recorded as open ─▶ suspended ──reported, or at its limit──▶ read ──ended──▶ recorded as ended
 *                          ▲                                      │
 *                          └─────────────still runs───────────────┘
 *
 * A webhook reports the end of a call, or a poll that runs apart from the turn (gemini/interactions/polling.ts). A call that
 * is streamed is polled by its turn, which then reads on. Its text is stored in chunks, each together with a cursor: the last
 * event that it contains. Another run of the turn reads the cursor, and continues the artifact after it.
 */
import { randomBytes } from 'node:crypto';
import type { StoredReplyRow } from '#shared/db/models/stored-replies.ts';
import type { NewStep, NewWait } from '#shared/db/turns/write.ts';
import type { Artifact, Part } from '#shared/domain/message.ts';
import {
  createGeminiWebhookUrl,
  getPollSeconds,
  maxWaitSeconds,
  type StreamCursor,
} from '#shared/domain/wait.ts';
import { databaseNow } from '#shared/runtime/clock.ts';
import type { MarkedArtifactStream } from '../turn/output/artifact-stream.ts';
import type { OpenWait, Waits } from '../turn/waits.ts';
import type { Turn } from './agent.ts';
import type { ToolTaskWaits } from './mcp/tasks/wait.ts';

export interface ModelWait {
  /** Where Gemini reports the end of the call. Undefined: nowhere, the call is only polled. */
  webhookUrl: string | undefined;
  /** Names the wait in a webhook that is registered for the project. */
  token: string;
  /** An earlier run has recorded the intent. */
  known: boolean;
  /** The id of a call that Gemini has reported before an earlier run could record it. */
  reported: string | undefined;
  /**
   * Resolves when the call has ended. Until then, the turn is suspended.
   *
   * @param poll whether the call has ended, at this age. It runs after each report and at the limit; if the call is streamed,
   *   also at once, and at times that grow with the age
   * @param options.limitSeconds the age at which the call is ended
   */
  ended(poll: (ageSeconds: number) => Promise<boolean>, options: { limitSeconds: number }): Promise<void>;
  /** How much of the reply is stored; undefined: nothing is. */
  cursor(): StreamCursor | undefined;
  /**
   * Opens the artifact of a reply that is streamed. It continues what is stored under the cursor; if the artifact is not
   * as the cursor says, the cursor is dropped, and the reply starts again.
   */
  openArtifact(head: Omit<Artifact, 'parts'>): Promise<CursorStream>;
  /** Reports progress to clients, and stores the cursor with it. */
  progress(text: string, cursor: StreamCursor): Promise<void>;
}

export interface CursorStream {
  /** Adds text, and returns at once. The cursor is stored with the chunk that contains the text. */
  write(text: string, cursor: StreamCursor): void;
  /** Resolves when what was written is stored. */
  flush(): Promise<void>;
  /** Writes the rest and marks the last chunk. */
  close(): Promise<void>;
}

export interface ModelWaitOptions {
  streams?: boolean;
  batchSeconds?: number;
}

export interface ModelWaits extends ToolTaskWaits {
  /**
   * Records the intent to call the model. The wait is a step of this name.
   *
   * @param options.streams the turn reads the stream of the call. Default: false
   * @param options.batchSeconds the call is made in a batch, which wakes the turn, within so many seconds
   */
  waitForModel(name: string, options?: ModelWaitOptions): Promise<ModelWait>;
  /** Returns the last reply of a turn that has completed another task; undefined if Google does not store it. */
  readStoredReply(turn: { taskId: string; turn: number }): Promise<StoredReplyRow | undefined>;
}

/** Turns of workers can wait for the model; other implementations of a turn may not. */
export function canWaitForModel<T extends object>(turn: T): turn is T & ModelWaits {
  return 'waitForModel' in turn;
}

export type ModelWaitingTurn = Turn & ModelWaits;

interface ModelWaitParts extends StreamStoreParts {
  waits: Waits;
  store: (step: NewStep) => Promise<void>;
  /** Base URL of webhooks; undefined: there are none. */
  publicUrl: string | undefined;
}

interface StreamStoreParts {
  /** Returns the parts of an artifact as clients have them. */
  readArtifact: (artifactId: string) => Promise<Part[] | undefined>;
  openArtifact: (head: Omit<Artifact, 'parts'>, stored: readonly Part[]) => MarkedArtifactStream;
  showProgress: (text: string, mark: NewStep) => Promise<void>;
}

/** @throws {FatalError} if the record of the turn has another step here */
export async function openModelWait(
  name: string,
  { streams = false, batchSeconds }: ModelWaitOptions,
  parts: ModelWaitParts,
): Promise<ModelWait> {
  const { waits, publicUrl } = parts;
  const { identity, earlier } = waits.reach(name, 'model');
  const { wait: recorded, token: recordedToken } = earlier?.wait ?? {};
  const { interaction: reported, cursor } = recorded?.kind === 'model' ? recorded : {};
  const token = recordedToken ?? randomBytes(32).toString('base64url');
  const wait: NewWait = {
    wait: { kind: 'model', ...(streams && { streams }) },
    dueInSeconds: batchSeconds ?? getPollSeconds(0),
    token,
  };
  const stream = createStreamStore(parts, identity, wait, cursor);
  if (earlier?.finished === true) {
    return { webhookUrl: undefined, token, known: true, reported, ended: async () => undefined, ...stream };
  }
  const open = await waits.open(identity, earlier, wait);
  return {
    webhookUrl: publicUrl && createGeminiWebhookUrl(publicUrl, token),
    token,
    known: earlier !== undefined,
    reported,
    ended: (poll, { limitSeconds }) => {
      // A turn that runs again may have been woken by its batch.
      const mayHaveEnded = reported !== undefined || (batchSeconds !== undefined && earlier !== undefined);
      const delaySeconds = streams || mayHaveEnded ? 0 : getSecondsLeft(open, limitSeconds);
      open.dueAt = performance.now() + delaySeconds * 1000;
      const toDueSeconds = (age: number): number =>
        batchSeconds === undefined ? getPollSeconds(age) : Math.max(1, batchSeconds - age);
      return pollUntilEnded(parts, open, { wait, streams, limitSeconds, toDueSeconds, poll });
    },
    ...stream,
  };
}

/**
 * Stores the text of a reply together with its cursor.
 *
 * @param recorded the cursor of an earlier run
 */
export function createStreamStore(
  { readArtifact, openArtifact, showProgress }: StreamStoreParts,
  identity: OpenWait['identity'],
  wait: NewWait,
  recorded: StreamCursor | undefined,
): Pick<ModelWait, 'cursor' | 'openArtifact' | 'progress'> {
  let current = recorded;
  const toMark = (cursor: StreamCursor): NewStep => ({
    ...identity,
    output: null,
    wait: { ...wait, wait: { kind: 'model', cursor } },
  });
  return {
    cursor: () => current,
    openArtifact: async (head) => {
      let stored: Part[] = [];
      if (current !== undefined && current.chars > 0) {
        stored = (await readArtifact(head.artifactId)) ?? [];
        if (!isText(stored, current.chars)) {
          stored = [];
          current = undefined;
        }
      }
      const stream = openArtifact(head, stored);
      return {
        write: (text, cursor) => {
          current = cursor;
          stream.write({ text }, toMark(cursor));
        },
        flush: () => stream.flush(),
        close: () => stream.close(),
      };
    },
    progress: async (text, cursor) => {
      current = cursor;
      await showProgress(text, toMark(cursor));
    },
  };
}

/** Whether the parts are one text of so many characters. Large texts become files, which are not continued. */
function isText(parts: readonly Part[], chars: number): boolean {
  const [first, ...others] = parts;
  return others.length === 0 && first?.text?.length === chars;
}

interface Polled {
  wait: NewWait;
  streams: boolean;
  limitSeconds: number;
  /** When an open call is polled again, at this age. */
  toDueSeconds: (ageSeconds: number) => number;
  poll: (ageSeconds: number) => Promise<boolean>;
}

async function pollUntilEnded(
  { waits, store }: ModelWaitParts,
  open: OpenWait,
  { wait, streams, limitSeconds, toDueSeconds, poll }: Polled,
): Promise<void> {
  for (;;) {
    await waits.untilDue(open);
    const ended = await waits.run(async () => {
      if (await poll(getAgeSeconds(open))) {
        await store({ ...open.identity, output: JSON.stringify({ status: 'ended' }) });
        return true;
      }
      const dueInSeconds = toDueSeconds(getAgeSeconds(open));
      await store({ ...open.identity, output: null, wait: { ...wait, dueInSeconds } });
      const delaySeconds = streams
        ? dueInSeconds
        : Math.max(dueInSeconds, getSecondsLeft(open, limitSeconds));
      waits.reopen(open, delaySeconds * 1000);
      return false;
    });
    if (ended) return;
  }
}

function getAgeSeconds({ since }: OpenWait): number {
  return (databaseNow() - since.getTime()) / 1000;
}

/** Returns the time until a limit; at most that of the longest wait. */
function getSecondsLeft(open: OpenWait, limitSeconds: number): number {
  return Math.min(maxWaitSeconds, limitSeconds - getAgeSeconds(open));
}
