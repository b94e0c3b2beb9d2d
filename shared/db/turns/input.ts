/**
 * The input of a turn. The claim reads the task, its message, the earlier exchanges and the recorded steps.
 * The agent's definition is read once for each process. Tasks that the messages refer to are read for each
 * turn.
 */
import { sql, type RawBuilder } from 'kysely';
import { isUuid } from '../../domain/ids.ts';
import type { Artifact, Json, JsonObject, Message } from '../../domain/message.ts';
import type { TaskState } from '../../domain/task.ts';
import type { Usage } from '../../domain/usage.ts';
import { fewRows } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { createAgentReader } from '../tasks/agents.ts';
import { readTaskSnapshot } from '../tasks/read.ts';
import type { Caller } from '../tasks/visibility.ts';
import type { Lease } from './leases.ts';

export interface RecordedStep {
  name: string;
  occurrence: number;
  position: number;
  inputHash: string | null;
  output: Json;
  /** False: the step was started, and its result is unknown. */
  finished: boolean;
}

/** The message and the answer of an earlier turn in the same context. */
export interface Exchange {
  taskId: string;
  turn: number;
  message: Message;
  artifacts: Artifact[];
  answer: Message | null;
}

/** The current content of a task that a message refers to. */
export interface TaskReference {
  taskId: string;
  state: TaskState;
  messages: Message[];
  artifacts: Artifact[];
}

export interface TurnInput {
  contextId: string;
  owner: string;
  tenant: string;
  metadata: JsonObject;
  definition: JsonObject;
  message: Message;
  acceptedOutputModes: string[];
  /** The owner's tasks that messages of this task refer to. */
  references: TaskReference[];
  earlier: Exchange[];
  steps: RecordedStep[];
  /** Time since the first step of this turn was recorded, or 0 if none was. */
  startedSecondsAgo: number;
  /** The finished steps of the earlier turns of this task. */
  earlierSteps: (RecordedStep & { turn: number })[];
  /** Usage of the task so far; undefined if it has called no model. */
  usage: Usage | undefined;
  traceparent: string | null;
}

/** The part of the input that the claim reads. */
export interface StoredInput {
  tenant: string;
  owner: string;
  context_id: string;
  metadata: JsonObject | null;
  agent_hash: string;
  message: Message | null;
  accepted_output_modes: string[] | null;
  usage: Usage | null;
  traceparent: string | null;
  last_error: string | null;
  earlier: Exchange[] | null;
  started_seconds_ago: number | null;
  steps: (RecordedStep & { turn: number })[] | null;
}

/** Maximum number of exchanges of a context that are read, the newest ones. */
const maxEarlier = 500;
/** Maximum size of their JSON. The task's own exchanges are read even if they are larger. */
const maxEarlierBytes = 8 * 1024 * 1024;

/**
 * The newest exchanges of the context of task `t` before its `gate.turn`, newest first. `bytes` is the total
 * size of the JSON up to and including each exchange. Every task has a message, so `maxEarlier` exchanges
 * belong to at most that many tasks, in addition to the task itself. `is true` makes the planner find the
 * tasks by context only (see client/prepared.ts).
 */
const sizedExchanges = sql`
      select *, sum(octet_length(message::text) + coalesce(octet_length(answer::text), 0)
        + coalesce(octet_length(artifacts::text), 0)) over (order by task_id desc, turn desc) as bytes
      from (
        select question.task_id, question.turn, question.message, answer.message as answer,
          (select json_agg(a.artifact order by a.seq) from artifacts a
            where a.task_id = question.task_id and a.turn = question.turn) as artifacts
        from (
          select other.id from tasks other
          where other.context_id = t.context_id
            and (other.tenant = t.tenant and other.owner = t.owner and other.id <= t.id) is true
          order by other.id desc ${fewRows(maxEarlier + 1)}
        ) other
        join messages question on question.task_id = other.id and question.role = 'user'
          and (other.id < t.id or question.turn < gate.turn)
        left join messages answer
          on answer.task_id = question.task_id and answer.turn = question.turn and answer.role = 'agent'
        order by question.task_id desc, question.turn desc
        limit ${maxEarlier}
      ) newest`;

/**
 * Selects StoredInput of a task `t`, its `gate`, and the message `m` of the turn. Fence 1 has no steps yet.
 */
export const storedInputColumns: RawBuilder<unknown> = sql`
  t.tenant, t.owner, t.context_id, t.metadata, t.agent_hash, m.message, m.accepted_output_modes, t.usage, t.traceparent,
  t.last_error,
  (
    select json_agg(json_build_object('taskId', task_id, 'turn', turn, 'message', message, 'answer', answer,
      'artifacts', coalesce(artifacts, '[]')) order by task_id, turn)
    from (${sizedExchanges}) sized
    where bytes <= ${maxEarlierBytes} or task_id = t.id
  ) as earlier,
  case when gate.fence > 1 then (
    select json_agg(json_build_object('turn', s.turn, 'name', s.name, 'occurrence', s.occurrence,
      'position', s.position, 'inputHash', s.input_hash, 'output', s.output,
      'finished', s.finished_at is not null) order by s.turn, s.position)
    from steps s where s.task_id = t.id and s.turn <= gate.turn
  ) end as steps,
  case when gate.fence > 1 then (
    select extract(epoch from now() - min(s.started_at))::float8 from steps s
    where s.task_id = t.id and s.turn = gate.turn
  ) end as started_seconds_ago`;

export type ReadTurnInput = (lease: Lease, stored: StoredInput) => Promise<TurnInput>;

export function createInputReader(db: Db): ReadTurnInput {
  const readAgent = createAgentReader(db);
  return async ({ taskId, turn }, stored) => {
    const { message } = stored;
    if (message === null) throw new Error(`task ${taskId} has no message for its turn ${turn}`);
    const steps = stored.steps ?? [];
    const earlier = stored.earlier ?? [];
    const messages = [...earlier.filter((exchange) => exchange.taskId === taskId), { message }];
    return {
      tenant: stored.tenant,
      owner: stored.owner,
      contextId: stored.context_id,
      metadata: stored.metadata ?? {},
      definition: await readAgent(stored.agent_hash),
      message,
      acceptedOutputModes: stored.accepted_output_modes ?? [],
      usage: stored.usage ?? undefined,
      traceparent: stored.traceparent,
      references: await readReferences(db, stored, taskId, messages),
      earlier,
      startedSecondsAgo: Math.max(0, stored.started_seconds_ago ?? 0),
      steps: steps.filter((step) => step.turn === turn),
      earlierSteps: steps.filter((step) => step.turn < turn && step.finished),
    };
  };
}

/** Maximum number of referenced tasks that are read, the newest ones. */
const maxReferences = 20;

/**
 * Skips tasks that were removed since the message was accepted, and tasks of other owners (invariant 9).
 */
async function readReferences(
  db: Db,
  { tenant, owner }: Caller,
  taskId: string,
  messages: readonly { message: Message }[],
): Promise<TaskReference[]> {
  const referenced = new Set(messages.flatMap(({ message }) => message.referenceTaskIds ?? []));
  const ids = [...referenced].filter((id) => isUuid(id) && id !== taskId).slice(-maxReferences);
  const snapshots = await Promise.all(
    ids.map((id) => readTaskSnapshot(db, { tenant, owner }, id, { includeHidden: true })),
  );
  return snapshots.flatMap((snapshot) => {
    if (snapshot === undefined) return [];
    const { id, status, history, artifacts } = snapshot.task;
    const allMessages = status.message === undefined ? history : [...history, status.message];
    return [{ taskId: id, state: status.state, messages: allMessages, artifacts }];
  });
}
