/** Reads the records of steps, of any owner, for operators. */
import { sql } from 'kysely';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openJsonText } from '../contents/codec.ts';

/** A larger output is read in part, or not at all if it is encrypted. In bytes. */
const maxWholeBytes = 256 * 1024;

export interface StepsFilter {
  taskId: string;
  turn: number;
  /** Steps before this position. */
  before: number;
  /** Undefined: of all names. */
  name?: string | undefined;
  occurrence?: number | undefined;
  /** The most steps. */
  size: number;
  /** Characters of an output that is not read as a whole. */
  chars: number;
}

export interface StoredStep {
  name: string;
  occurrence: number;
  position: number;
  startedAt: string;
  endedAt: string | null;
  /** Size of the output, as it is stored. */
  bytes: number;
  /** JSON, or its start; null: the step has not ended, or the output is too large to decrypt. */
  output: string | null;
  isWhole: boolean;
}

/** Returns the newest steps that match, in their order. */
export async function readStepsOfAnyOwner(db: Db, filter: StepsFilter): Promise<StoredStep[]> {
  const { taskId, turn, before, name = null, occurrence = null, size, chars } = filter;
  const start = areContentsEncrypted() ? sql`null` : sql`left(s.output::text, ${chars}::int)`;
  const { rows } = await sql<StoredStep>`
    select s.name, s.occurrence, s.position, s.bytes, ${isoTime(sql`s.started_at`)} as "startedAt",
      ${isoTime(sql`s.finished_at`)} as "endedAt", s.bytes <= ${maxWholeBytes} as "isWhole",
      case when s.bytes <= ${maxWholeBytes} then s.output::text else ${start} end as output
    from steps s
    where s.task_id = ${taskId} and s.turn = ${turn} and s.position < ${before}
      and (${name}::text is null or s.name = ${name})
      and (${occurrence}::int is null or s.occurrence = ${occurrence})
    order by s.position desc, s.name, s.occurrence limit ${size}`.execute(db);
  const open = async (step: StoredStep): Promise<StoredStep> => ({
    ...step,
    output: await openJsonText('output', taskId, step.output),
  });
  return Promise.all(rows.reverse().map(open));
}
