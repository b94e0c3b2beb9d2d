/**
 * The input of a turn, as far as the claim reads it. A statement that claims a whole set of turns must stay small
 * for any input: a task with more of it, or with an attempt that failed, is claimed without it,
 * and its worker reads the input alone (stored-input.ts). The history is read when an agent asks for it (history.ts).
 */
import { sql, type RawBuilder } from 'kysely';
import type { JsonObject, Message } from '../../../domain/message.ts';
import { isSealed, openJson } from '../../contents/codec.ts';
import { toContentBytes } from '../../contents/sizes.ts';
import { openRecordedWait } from '../../contents/writes.ts';
import { hasExchangesBefore } from '../history/exchanges.ts';
import { recordedWait, type RecordedStep, type TurnContent } from '../turn-content.ts';

/** Maximum size of the input of one turn that the claim reads, in bytes of JSON. */
const maxBytes = 64 * 1024;
const maxSteps = 50;

/** The columns of `inlineColumns`. */
export interface InlineRow {
  /** False if the claim has not read the whole input; the columns below are then of no use. */
  inline: boolean;
  message: Message | null;
  metadata: JsonObject | null;
  accepted_output_modes: string[] | null;
  steps: RecordedStep[] | null;
  record_bytes: number | null;
  started_seconds_ago: number | null;
  /** Whether the context has earlier turns. */
  has_history: boolean;
}

const currentTurn = { contextKey: sql`m.context_key`, taskId: sql`t.id`, turn: sql`gate.turn` };

/** Selects InlineRow of the joins below. */
export const inlineColumns: RawBuilder<unknown> = sql`
  fits.inline,
  case when fits.inline then m.message end as message,
  case when fits.inline then t.metadata end as metadata,
  case when fits.inline then m.accepted_output_modes end as accepted_output_modes,
  record.steps, record.bytes::int as record_bytes, record.started_seconds_ago,
  case when t.opens_context and gate.turn = 1 then false else ${hasExchangesBefore(currentTurn)} end as has_history`;

/**
 * Joins the message of the turn and its record to a task `t` and its `gate`. The filters keep the aggregate from
 * reading values that do not fit. Most turns have no record: a first attempt (fence 1) has none. The conditions of an
 * `offset 0` subquery are checked before the aggregate below it is started, which would take much of the statement's
 * time.
 */
export const inlineJoins: RawBuilder<unknown> = sql`
  left join messages m on m.task_id = t.id and m.turn = gate.turn and m.role = 'user'
  left join lateral (
    select * from (
      select count(*) as count, max(total) as bytes,
        json_agg(json_build_object('name', name, 'occurrence', occurrence, 'position', position,
          'inputHash', input_hash, 'output', output, 'finished', finished_at is not null, 'wait', ${recordedWait}
        ) order by position) filter (where total <= ${maxBytes}::int) as steps,
        extract(epoch from now() - min(started_at))::float8 as started_seconds_ago
      from (
        select *, sum(bytes) over (order by position) as total
        from (
          select * from steps s where s.task_id = t.id and s.turn = gate.turn limit ${sql.lit(maxSteps + 1)}
        ) step
      ) s
    ) found
    where gate.fence > 1 and gate.attempts = 1
    offset 0
  ) record on true
  cross join lateral (
    select (gate.attempts = 1 and coalesce(record.count, 0) <= ${maxSteps}::int
      and m.bytes + t.metadata_bytes + coalesce(record.bytes, 0) <= ${maxBytes}::int
    ) is true as inline
  ) fits`;

/** Decrypts what the claim has read. */
export async function openInline(
  taskId: string,
  { message = null, metadata = null, steps = null }: Partial<InlineRow>,
): Promise<Pick<InlineRow, 'message' | 'metadata' | 'steps'>> {
  const open = async (step: RecordedStep): Promise<RecordedStep> => ({
    ...step,
    output: await openJson('output', taskId, step.output),
    wait: await openRecordedWait(taskId, step.wait),
  });
  return {
    message: await openJson('message', taskId, message),
    metadata: await openJson('metadata', taskId, metadata),
    steps: steps && (await Promise.all(steps.map(open))),
  };
}

/** Returns the content of a turn, or undefined if the claim has not read it. */
export function toTurnContent(row: Partial<InlineRow>): TurnContent | undefined {
  if (row.inline !== true || !row.message || isSealed(row.message)) return undefined;
  return {
    message: row.message,
    metadata: row.metadata ?? {},
    acceptedOutputModes: row.accepted_output_modes ?? [],
    steps: row.steps ?? [],
    recordBytes: toContentBytes(row.record_bytes ?? 0, row.steps?.length),
    startedSecondsAgo: Math.max(0, row.started_seconds_ago ?? 0),
  };
}
