/**
 * What a worker reads before it runs a turn: the task, the message, what was said before, and the finished steps. In one
 * statement for the turns that begin at the same time; the definitions of agents are read once for each process.
 */
import { sql } from 'kysely';
import { isUuid } from '../domain/ids.ts';
import type { Artifact, Json, JsonObject, Message } from '../domain/message.ts';
import type { TaskState } from '../domain/task.ts';
import type { Usage } from '../domain/usage.ts';
import { combine } from './combiner.ts';
import type { Db } from './database.ts';
import { fewRows } from './fragments.ts';
import type { Lease } from './leases.ts';
import { readTask, type Caller } from './tasks.ts';

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

interface Row {
  place: number;
  tenant: string;
  owner: string;
  context_id: string;
  metadata: JsonObject | null;
  agent_hash: string;
  message: Message;
  accepted_output_modes: string[] | null;
  usage: Usage | null;
  traceparent: string | null;
  earlier: EarlierTurn[] | null;
  begun_seconds_ago: number | null;
  steps: (RecordedStep & { turn: number })[] | null;
}

export type ReadTurnInput = (lease: Lease) => Promise<TurnInput>;

/** What is read of a task and of the earlier tasks of its context: the newest turns. */
export interface EarlierBounds {
  turns: number;
  /** In JSON; the turns of the task itself are read whatever their size. */
  bytes: number;
}

export function turnInputReader(db: Db, bounds: EarlierBounds): ReadTurnInput {
  const read = combine((leases: readonly Lease[]) => readSet(db, bounds, leases), { max: 64, lanes: 2 });
  const definitionOf = definitionReader(db);
  return async (lease) => {
    const row = await read(lease);
    if (row === undefined) throw new Error(`task ${lease.taskId} has no message for its turn ${lease.turn}`);
    const steps = row.steps ?? [];
    const earlier = row.earlier ?? [];
    const said = [...earlier.filter((one) => one.taskId === lease.taskId), row];
    return {
      tenant: row.tenant,
      owner: row.owner,
      contextId: row.context_id,
      metadata: row.metadata ?? {},
      definition: await definitionOf(row.agent_hash),
      message: row.message,
      acceptedOutputModes: row.accepted_output_modes ?? [],
      usage: row.usage ?? undefined,
      traceparent: row.traceparent,
      references: await readReferences(db, row, lease.taskId, said),
      earlier,
      begunSecondsAgo: Math.max(0, row.begun_seconds_ago ?? 0),
      steps: steps.filter((step) => step.turn === lease.turn),
      earlierSteps: steps.filter((step) => step.turn < lease.turn && step.finished),
    };
  };
}

async function readSet(
  db: Db,
  bounds: EarlierBounds,
  leases: readonly Lease[],
): Promise<(Row | undefined)[]> {
  const { rows } = await sql<Row>`-- prepared
    select input.place::int, t.tenant, t.owner, t.context_id, t.metadata, t.agent_hash, m.message,
      m.accepted_output_modes, t.usage, t.traceparent,
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
            from tasks other
            join messages said on said.task_id = other.id and said.role = 'user'
              and (other.id < t.id or said.turn < input.turn)
            left join messages answer
              on answer.task_id = said.task_id and answer.turn = said.turn and answer.role = 'agent'
            where other.tenant = t.tenant and other.owner = t.owner and other.context_id = t.context_id
              and other.id <= t.id
            order by said.task_id desc, said.turn desc
            limit ${bounds.turns}
          ) newest
        ) sized
        where bytes <= ${bounds.bytes} or task_id = t.id
      ) as earlier,
      (
        select json_agg(json_build_object('turn', s.turn, 'name', s.name, 'occurrence', s.occurrence,
          'position', s.position, 'inputHash', s.input_hash, 'output', s.output,
          'finished', s.finished_at is not null) order by s.turn, s.position)
        from steps s where s.task_id = t.id and s.turn <= input.turn
      ) as steps,
      (
        select extract(epoch from now() - min(s.started_at))::float8 from steps s
        where s.task_id = t.id and s.turn = input.turn
      ) as begun_seconds_ago
    from (
      select * from unnest(${leases.map((lease) => lease.taskId)}::uuid[], ${leases.map((lease) => lease.turn)}::int[])
        with ordinality as input (task_id, turn, place) ${fewRows(leases.length)}
    ) input
    join tasks t on t.id = input.task_id
    join messages m on m.task_id = t.id and m.turn = input.turn and m.role = 'user'`.execute(db);
  const found = new Map(rows.map((row) => [row.place, row]));
  return leases.map((_, index) => found.get(index + 1));
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
