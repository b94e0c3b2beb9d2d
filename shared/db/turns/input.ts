/**
 * What a turn begins with: the task, the message, what was said before, and the finished steps, all read by the claim; the
 * definition of the agent, which is read once for each process; and the tasks to which its messages refer.
 */
import { sql } from 'kysely';
import { isUuid } from '../../domain/ids.ts';
import type { Artifact, Json, JsonObject, Message } from '../../domain/message.ts';
import type { TaskState } from '../../domain/task.ts';
import type { Usage } from '../../domain/usage.ts';
import type { Db } from '../client/pool.ts';
import { fewRows } from '../events/fan-out.ts';
import type { Lease } from './leases.ts';
import { readTask, type Caller } from '../tasks/read.ts';

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

/** A task to which a message refers, as it is now. */
export interface ReferencedTask {
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
  /** The tasks of the owner to which messages of this task refer. */
  references: ReferencedTask[];
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

/** What the claim reads of it. */
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
  earlier: EarlierTurn[] | null;
  begun_seconds_ago: number | null;
  steps: (RecordedStep & { turn: number })[] | null;
}

/** What is read of a task and of the earlier tasks of its context: so many of the newest turns. */
const maxEarlier = 500;
/** In JSON; the turns of the task itself are read whatever their size. */
const maxEarlierBytes = 8 * 1024 * 1024;

/**
 * The columns of StoredInput, of a task `t` and the message `m` of the turn of its `gate`. What else is asked of the
 * tasks of the context is a test of truth, so that they are found by the context and by nothing else (see prepared.ts).
 * Every task has a message: the newest turns are of as many tasks at most, beside the task itself. At the first claim
 * (fence 1) no step was recorded.
 */
export const storedInput = sql`
  t.tenant, t.owner, t.context_id, t.metadata, t.agent_hash, m.message, m.accepted_output_modes, t.usage, t.traceparent,
  (
    select json_agg(json_build_object('taskId', task_id, 'turn', turn, 'message', message, 'answer', answer,
      'artifacts', coalesce(artifacts, '[]')) order by task_id, turn)
    from (
      select *, sum(octet_length(message::text) + coalesce(octet_length(answer::text), 0)
        + coalesce(octet_length(artifacts::text), 0)) over (order by task_id desc, turn desc) as bytes
      from (
        select said.task_id, said.turn, said.message, answer.message as answer,
          (select json_agg(a.artifact order by a.seq) from artifacts a
            where a.task_id = said.task_id and a.turn = said.turn) as artifacts
        from (
          select other.id from tasks other
          where other.context_id = t.context_id
            and (other.tenant = t.tenant and other.owner = t.owner and other.id <= t.id) is true
          order by other.id desc ${fewRows(maxEarlier + 1)}
        ) other
        join messages said on said.task_id = other.id and said.role = 'user'
          and (other.id < t.id or said.turn < gate.turn)
        left join messages answer
          on answer.task_id = said.task_id and answer.turn = said.turn and answer.role = 'agent'
        order by said.task_id desc, said.turn desc
        limit ${maxEarlier}
      ) newest
    ) sized
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
  ) end as begun_seconds_ago`;

export type ReadTurnInput = (lease: Lease, stored: StoredInput) => Promise<TurnInput>;

export function createInputReader(db: Db): ReadTurnInput {
  const definitionOf = definitionReader(db);
  return async ({ taskId, turn }, stored) => {
    const { message } = stored;
    if (message === null) throw new Error(`task ${taskId} has no message for its turn ${turn}`);
    const steps = stored.steps ?? [];
    const earlier = stored.earlier ?? [];
    const said = [...earlier.filter((one) => one.taskId === taskId), { message }];
    return {
      tenant: stored.tenant,
      owner: stored.owner,
      contextId: stored.context_id,
      metadata: stored.metadata ?? {},
      definition: await definitionOf(stored.agent_hash),
      message,
      acceptedOutputModes: stored.accepted_output_modes ?? [],
      usage: stored.usage ?? undefined,
      traceparent: stored.traceparent,
      references: await readReferences(db, stored, taskId, said),
      earlier,
      begunSecondsAgo: Math.max(0, stored.begun_seconds_ago ?? 0),
      steps: steps.filter((step) => step.turn === turn),
      earlierSteps: steps.filter((step) => step.turn < turn && step.finished),
    };
  };
}

/** More would be no reference but a dump. */
const maxReferences = 20;

/** Those that are gone since the message was accepted are left out; so would be those of others (invariant 9). */
async function readReferences(
  db: Db,
  { tenant, owner }: Caller,
  taskId: string,
  said: readonly { message: Message }[],
): Promise<ReferencedTask[]> {
  const named = new Set(said.flatMap(({ message }) => message.referenceTaskIds ?? []));
  const ids = [...named].filter((id) => isUuid(id) && id !== taskId).slice(-maxReferences);
  const found = await Promise.all(
    ids.map((id) => readTask(db, { tenant, owner }, id, { includeHidden: true })),
  );
  return found.flatMap((snapshot) => {
    if (snapshot === undefined) return [];
    const { id, status, history, artifacts } = snapshot.task;
    const messages = status.message === undefined ? history : [...history, status.message];
    return [{ taskId: id, state: status.state, messages, artifacts }];
  });
}

/** Definitions are kept by their hash, so that the tasks of one agent share it in memory. */
function definitionReader(db: Db): (hash: string) => Promise<JsonObject> {
  const known = new Map<string, JsonObject>();
  return async (hash) => {
    const before = known.get(hash);
    if (before !== undefined) return before;
    const row = await db
      .selectFrom('agents')
      .select('definition')
      .where('hash', '=', hash)
      .executeTakeFirst();
    if (row === undefined) return {};
    if (known.size >= maxDefinitions) known.clear();
    known.set(hash, row.definition);
    return row.definition;
  };
}

const maxDefinitions = 100;
