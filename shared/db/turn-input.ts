/** What a worker reads before it runs a turn: the task, the message, what was said before, and the finished steps. */
import { sql } from 'kysely';
import type { Artifact, Json, JsonObject, Message } from '../domain/message.ts';
import type { Usage } from '../domain/usage.ts';
import type { Db } from './database.ts';
import type { Lease } from './leases.ts';

export interface RecordedStep {
  name: string;
  occurrence: number;
  position: number;
  inputHash: string | null;
  output: Json;
  /** False: the step had begun, and what became of it is not known. */
  finished: boolean;
}

/** One exchange: what a user said and what the agent answered in that turn. */
export interface EarlierTurn {
  taskId: string;
  turn: number;
  message: Message;
  artifacts: Artifact[];
  answer: Message | null;
}

export interface TurnInput {
  contextId: string;
  owner: string;
  tenant: string;
  metadata: JsonObject;
  definition: JsonObject;
  message: Message;
  acceptedOutputModes: string[];
  earlier: EarlierTurn[];
  steps: RecordedStep[];
  /** How long ago the first step of this turn was recorded; 0: none was. */
  begunSecondsAgo: number;
  /** The finished steps of the earlier turns of this task. */
  earlierSteps: (RecordedStep & { turn: number })[];
  /** Of the task so far; undefined where no model was called. */
  usage: Usage | undefined;
  traceparent: string | null;
}

/** @param maxEarlier turns at most of this task and of the earlier tasks of its context, the newest */
export async function readTurnInput(db: Db, lease: Lease, maxEarlier: number): Promise<TurnInput> {
  const [head, earlier, steps] = await Promise.all([
    sql<{
      tenant: string;
      owner: string;
      context_id: string;
      metadata: JsonObject | null;
      definition: JsonObject | null;
      message: Message;
      accepted_output_modes: string[] | null;
      usage: Usage | null;
      traceparent: string | null;
    }>`-- prepared
      select t.tenant, t.owner, t.context_id, t.metadata, a.definition, m.message, m.accepted_output_modes, t.usage,
        t.traceparent
      from tasks t
      join messages m on m.task_id = t.id and m.turn = ${lease.turn} and m.role = 'user'
      left join agents a on a.hash = t.agent_hash
      where t.id = ${lease.taskId}`.execute(db),
    sql<{
      task_id: string;
      turn: number;
      message: Message;
      answer: Message | null;
      artifacts: Artifact[] | null;
    }>`-- prepared
      select m.task_id, m.turn, m.message, answer.message as answer,
        (select json_agg(a.artifact order by a.seq) from artifacts a
          where a.task_id = m.task_id and a.turn = m.turn) as artifacts
      from tasks self
      join tasks t on t.tenant = self.tenant and t.owner = self.owner and t.context_id = self.context_id
        and t.id <= self.id
      join messages m on m.task_id = t.id and m.role = 'user' and (t.id < self.id or m.turn < ${lease.turn})
      left join messages answer on answer.task_id = m.task_id and answer.turn = m.turn and answer.role = 'agent'
      where self.id = ${lease.taskId}
      order by m.task_id desc, m.turn desc
      limit ${maxEarlier}`.execute(db),
    db
      .selectFrom('steps')
      .select(['turn', 'name', 'occurrence', 'position', 'input_hash', 'output', 'finished_at'])
      .select(sql<number>`extract(epoch from now() - started_at)::float8`.as('seconds_ago'))
      .where('task_id', '=', lease.taskId)
      .where('turn', '<=', lease.turn)
      .orderBy('turn')
      .orderBy('position')
      .execute(),
  ]);
  const [row] = head.rows;
  if (row === undefined) throw new Error(`task ${lease.taskId} has no message for its turn ${lease.turn}`);
  const recorded = steps.map((step) => ({
    turn: step.turn,
    name: step.name,
    occurrence: step.occurrence,
    position: step.position,
    inputHash: step.input_hash,
    output: step.output,
    finished: step.finished_at !== null,
  }));
  return {
    tenant: row.tenant,
    owner: row.owner,
    contextId: row.context_id,
    metadata: row.metadata ?? {},
    definition: row.definition ?? {},
    message: row.message,
    acceptedOutputModes: row.accepted_output_modes ?? [],
    usage: row.usage ?? undefined,
    traceparent: row.traceparent,
    earlier: earlier.rows.reverse().map((one) => ({
      taskId: one.task_id,
      turn: one.turn,
      message: one.message,
      artifacts: one.artifacts ?? [],
      answer: one.answer,
    })),
    begunSecondsAgo: Math.max(
      0,
      ...steps.filter((step) => step.turn === lease.turn).map((step) => step.seconds_ago),
    ),
    steps: recorded.filter((step) => step.turn === lease.turn),
    earlierSteps: recorded.filter((step) => step.turn < lease.turn && step.finished),
  };
}
