/** The turns of a context before a given one, as SQL. */
import { sql, type RawBuilder } from 'kysely';
import { fewRows } from '../../client/fragments.ts';

/** Where the walk through a context starts: at the turn of a task. */
export interface ExchangeStart {
  /** See tasks/context-key.ts. */
  contextKey: RawBuilder<unknown>;
  taskId: RawBuilder<unknown>;
  turn: RawBuilder<unknown>;
}

/**
 * The walk through the messages `q`, newest first. The bounds of the context are inequalities: given an equality,
 * the planner would take the order from the primary key when it expects one large context, and walk through the
 * messages of everyone else.
 *
 * The limit is part of the text. The planner would take a parameter for a tenth of all messages, and find that a new
 * plan for each call costs less: planning the claim takes as long as claiming 20 turns.
 */
export function newestBefore(
  { contextKey, taskId, turn }: ExchangeStart,
  limit: number,
): RawBuilder<unknown> {
  return sql`q.context_key >= ${contextKey} and (q.context_key, q.task_id, q.turn) < (${contextKey}, ${taskId}, ${turn})
      order by q.context_key desc, q.task_id desc, q.turn desc limit ${sql.lit(limit)}`;
}

/** Whether there is any turn before. The planner would remove the order from an `exists`, and scan the table. */
export function hasExchangesBefore(start: ExchangeStart): RawBuilder<unknown> {
  return sql`((select true from messages q where ${newestBefore(start, 1)}) is not null)`;
}

/**
 * Selects the newest exchanges of a context before a turn, newest first: `task_id`, `turn`, the `bytes` of their JSON, and
 * their `version`. Walks one index, from the turn towards older messages, so it reads as many rows as it returns.
 *
 * The version changes with the exchange. A message does not change, an answer is added once, and an artifact that is
 * written again gets a higher `seq`, or leaves the exchange for a later one.
 */
export function exchangesBefore(start: ExchangeStart, limit: number): RawBuilder<unknown> {
  return sql`
    select question.task_id, question.turn,
      question.bytes + coalesce(answer.bytes, 0) + coalesce(produced.bytes, 0) as bytes,
      format('%s/%s/%s/%s', answer.bytes, produced.count, produced.bytes, produced.seq) as version
    from (
      select q.task_id, q.turn, q.bytes from messages q
      where ${newestBefore(start, limit)}
    ) question
    left join lateral (
      select a.bytes from messages a
      where a.task_id = question.task_id and a.turn = question.turn and a.role = 'agent' ${fewRows(1)}
    ) answer on true
    left join lateral (
      select count(*) as count, sum(a.bytes) as bytes, max(a.seq) as seq from artifacts a
      where a.task_id = question.task_id and a.turn = question.turn
    ) produced on true
    order by question.task_id desc, question.turn desc`;
}

/** Selects the message, the answer and the artifacts of the exchanges of a FROM item `key (task_id, turn)`. */
export function exchangeTexts(key: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    select question.task_id, question.turn, question.message::text, answer.message::text as answer, (
      select coalesce(json_agg(a.artifact order by a.seq), '[]')::text from artifacts a
      where a.task_id = question.task_id and a.turn = question.turn
    ) as artifacts
    from ${key} join messages question
      on question.task_id = key.task_id and question.turn = key.turn and question.role = 'user'
    left join lateral (
      select a.message from messages a
      where a.task_id = question.task_id and a.turn = question.turn and a.role = 'agent' ${fewRows(1)}
    ) answer on true`;
}
