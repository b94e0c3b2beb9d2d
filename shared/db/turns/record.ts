/** Reads the records of turns, in pages. */
import { sql } from 'kysely';
import type { Json } from '../../domain/message.ts';
import { parseWithSharedTexts } from '../../runtime/shared-texts.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openJsonText } from '../contents/codec.ts';
import { toContentBytes } from '../contents/sizes.ts';
import { openRecordedWait } from '../contents/writes.ts';
import type { Lease } from './leases.ts';
import { recordedWait, type RecordedStep, type RecordedWait } from './turn-content.ts';

/** Maximum size of the outputs that one statement returns, in bytes. A larger output is returned alone. */
const pageBytes = 8 * 1024 * 1024;

export interface RecordSize {
  turn: number;
  /** Bytes of the outputs of all its steps. */
  bytes: number;
  /** Number of its finished steps. */
  count: number;
}

/** Turns of a task, by number. */
export interface TurnRange {
  from: number;
  to: number;
}

/** Returns the sizes of the records of turns, newest first. Turns without a record are left out. */
export async function readRecordSizes(
  db: Db,
  { taskId }: Pick<Lease, 'taskId'>,
  { from, to }: TurnRange,
): Promise<RecordSize[]> {
  const { rows } = await sql<{ turn: number; bytes: string; count: number }>`
    select s.turn, sum(s.bytes) as bytes, count(s.finished_at)::int as count from steps s
    where s.task_id = ${taskId} and s.turn between ${from} and ${to} group by s.turn order by s.turn desc`.execute(
    db,
  );
  return rows.map(({ turn, bytes, count }) => ({ turn, bytes: toContentBytes(Number(bytes), count), count }));
}

export interface StepText {
  turn: number;
  name: string;
  occurrence: number;
  position: number;
  inputHash: string | null;
  /** JSON; null if the step has not finished. */
  output: string | null;
  finished: boolean;
  wait: RecordedWait | null;
}

/** Reads the steps of turns, in order. Unfinished ones of turns before that of the lease are left out. */
export async function readRecord(
  db: Db,
  { taskId, turn }: Lease,
  { from, to }: TurnRange,
): Promise<StepText[]> {
  const steps: StepText[] = [];
  for (;;) {
    const last = steps.at(-1) ?? { turn: from, position: -1, name: '', occurrence: 0 };
    const { rows } = await sql<StepText>`
      select turn, name, occurrence, position, input_hash as "inputHash", output::text as output,
        finished_at is not null as finished, ${recordedWait} as wait
      from (
        select s.*, sum(s.bytes) over (order by s.turn, s.position, s.name, s.occurrence) - s.bytes as bytes_before
        from steps s
        where s.task_id = ${taskId} and s.turn between ${last.turn} and ${to}
          and (s.turn, s.position, s.name, s.occurrence)
            > (${last.turn}, ${last.position}, ${last.name}, ${last.occurrence})
          and (s.turn = ${turn} or s.finished_at is not null)
      ) s
      where bytes_before < ${pageBytes}
      order by turn, position, name, occurrence`.execute(db);
    steps.push(...rows);
    // A page that is not full is the last one.
    if (rows.reduce((bytes, { output }) => bytes + Buffer.byteLength(output ?? ''), 0) < pageBytes)
      return openSteps(taskId, steps);
  }
}

async function openSteps(taskId: string, steps: StepText[]): Promise<StepText[]> {
  if (!areContentsEncrypted()) return steps;
  const open = async (step: StepText): Promise<StepText> => ({
    ...step,
    output: await openJsonText('output', taskId, step.output),
    wait: await openRecordedWait(taskId, step.wait),
  });
  return Promise.all(steps.map(open));
}

export function toStep({
  name,
  occurrence,
  position,
  inputHash,
  output,
  finished,
  wait,
}: StepText): RecordedStep {
  const result = output === null ? null : (parseWithSharedTexts(output) as Json);
  return { name, occurrence, position, inputHash, output: result, finished, wait };
}
