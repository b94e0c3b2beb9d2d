/** The content of a turn: its message and its record. Read by the claim, or alone if it is large. */
import { sql, type RawBuilder } from 'kysely';
import type { JsonObject, Message } from '../../domain/message.ts';
import type { Wait } from '../../domain/wait.ts';

export interface RecordedStep {
  name: string;
  occurrence: number;
  position: number;
  inputHash: string | null;
  /** JSON, of the type that the code of the step gave it. */
  output: unknown;
  /** False: the step was started, and its result is unknown. */
  finished: boolean;
  /** Null unless the step is a wait. */
  wait: RecordedWait | null;
}

export interface RecordedWait {
  wait: Wait;
  /** The secret in the URL of a callback. */
  token: string | null;
  /** Negative once the wait is due. */
  dueInSeconds: number;
  startedSecondsAgo: number;
  /** Zero while the wait is open. */
  endedSecondsAgo: number;
}

/** The RecordedWait of a step `s`, by the clock of the database. */
export const recordedWait: RawBuilder<unknown> = sql`
  case when s.due_at is not null then json_build_object(
    'wait', s.wait, 'token', s.token,
    'dueInSeconds', extract(epoch from s.due_at - now())::float8,
    'startedSecondsAgo', extract(epoch from now() - s.started_at)::float8,
    'endedSecondsAgo', extract(epoch from now() - least(s.finished_at, s.due_at, now()))::float8
  ) end`;

export interface TurnContent {
  message: Message;
  /** Metadata of the request that created the task. */
  metadata: JsonObject;
  acceptedOutputModes: string[];
  /** The record of this turn. */
  steps: RecordedStep[];
  /** Bytes of the record of this turn; at most this many if the claim has read it. */
  recordBytes: number;
  /** Time since the first step of this turn was recorded, or 0 if none was. For the agent, without its waits. */
  startedSecondsAgo: number;
}
