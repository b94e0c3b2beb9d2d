/** The content of a turn: its message, its history and its record. Read by the claim, or alone if it is large. */
import { sql, type RawBuilder } from 'kysely';
import type { Artifact, Json, JsonObject, Message } from '../../domain/message.ts';
import type { Wait } from '../../domain/wait.ts';
import { fewRows } from '../client/fragments.ts';

export interface RecordedStep {
  name: string;
  occurrence: number;
  position: number;
  inputHash: string | null;
  output: Json;
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

/** The message and the answer of an earlier turn in the same context. */
export interface Exchange {
  taskId: string;
  turn: number;
  message: Message;
  artifacts: Artifact[];
  answer: Message | null;
}

export interface TurnContent {
  message: Message;
  /** Metadata of the request that created the task. */
  metadata: JsonObject;
  acceptedOutputModes: string[];
  /** The newest exchanges of the context before this turn, oldest first. */
  earlier: Exchange[];
  /** False if older exchanges, or records of earlier turns, were left out because of their number or size. */
  historyComplete: boolean;
  /** The record of this turn, and of earlier turns of the task. */
  steps: (RecordedStep & { turn: number })[];
  /** Bytes of the record of this turn; at most this many if the claim has read it. */
  recordBytes: number;
  /** Time since the first step of this turn was recorded, or 0 if none was. For the agent, without its waits. */
  startedSecondsAgo: number;
}

/** A turn in its context, as expressions. */
export interface TurnKey {
  contextKey: RawBuilder<unknown>;
  taskId: RawBuilder<unknown>;
  turn: RawBuilder<unknown>;
}

/**
 * Selects the newest exchanges of a context before a turn, newest first, with the `bytes` of their JSON. Walks one
 * index, from the turn towards older messages, so it reads as many rows as it returns. The bounds of the context
 * are inequalities: given an equality, the planner would take the order from the primary key when it expects one
 * large context, and walk through the messages of everyone else.
 */
export function exchangesBefore(turn: TurnKey, limit: number): RawBuilder<unknown> {
  return sql`
    select question.task_id, question.turn, question.message, answer.message as answer,
      question.bytes + coalesce(answer.bytes, 0) + coalesce((
        select sum(a.bytes) from artifacts a where a.task_id = question.task_id and a.turn = question.turn
      ), 0) as bytes
    from (
      select q.task_id, q.turn, q.message, q.bytes from messages q
      where ${newestBefore(turn, limit)}
    ) question
    left join lateral (
      select a.message, a.bytes from messages a
      where a.task_id = question.task_id and a.turn = question.turn and a.role = 'agent' ${fewRows(1)}
    ) answer on true
    order by question.task_id desc, question.turn desc`;
}

/** Whether a context has an exchange before a turn: true or null, by one look into the index. */
export function hasExchangesBefore(turn: TurnKey): RawBuilder<unknown> {
  return sql`(select true from messages q where ${newestBefore(turn, 1)})`;
}

/**
 * The limit is part of the text. The planner would take a parameter for a tenth of all messages, and find that a new
 * plan for each call costs less: planning the claim takes as long as claiming 20 turns.
 */
function newestBefore({ contextKey, taskId, turn }: TurnKey, limit: number): RawBuilder<unknown> {
  return sql`q.context_key >= ${contextKey} and (q.context_key, q.task_id, q.turn) < (${contextKey}, ${taskId}, ${turn})
      order by q.context_key desc, q.task_id desc, q.turn desc limit ${sql.lit(limit)}`;
}
