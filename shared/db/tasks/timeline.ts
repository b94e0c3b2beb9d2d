/** Reads what a task has done, for its owner (invariant 9): one statement, so that all parts are of one moment. */
import { sql, type RawBuilder } from 'kysely';
import type { Message } from '../../domain/message.ts';
import type {
  Timeline,
  TimelineAttempt,
  TimelineDelivery,
  TimelineEvent,
  TimelineStep,
  TimelineTurn,
} from '../../domain/views.ts';
import { isoTime } from '../client/fragments.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, openText } from '../contents/codec.ts';
import { stateOfPayload } from '../events/read.ts';
import { maxErrorChars } from '../turns/attempts.ts';
import { heldJson, readStatusText, shortStatusMessage } from './held.ts';
import { visibleTo, type Caller } from './visibility.ts';

/** The most entries of each list: the newest ones are read. */
const maxRead = { turns: 200, attempts: 500, steps: 1_000, events: 500, deliveries: 500 } as const;
type List = keyof typeof maxRead;

type OfTurn<T> = T & { turn: number };
interface Row {
  head: Omit<Timeline, 'turns' | 'events' | 'deliveries' | 'cut'>;
  turns: { turn: number; acceptedAt: string }[] | null;
  attempts: OfTurn<TimelineAttempt>[] | null;
  steps: OfTurn<TimelineStep>[] | null;
  events: TimelineEvent[] | null;
  deliveries: TimelineDelivery[] | null;
  status_message: Message | null;
}

/** @returns undefined if the caller does not own the task, or it is hidden */
export async function readTimeline(db: Db, caller: Caller, taskId: string): Promise<Timeline | undefined> {
  const { rows } = await sql<Row>`
    select ${shortStatusMessage} as status_message,
      json_strip_nulls(json_build_object(
        'taskId', t.id, 'contextId', t.context_id, 'state', t.state, 'createdAt', ${isoTime(sql`t.created_at`)},
        'statusAt', ${isoTime(sql`t.status_at`)}, 'agent', t.agent_hash, 'lastError', t.last_error, 'usage', t.usage,
        'held', ${heldJson}
      )) as head,
      ${list('turns', sql`'turn', turn, 'acceptedAt', ${isoTime(sql`created_at`)}`, turns)},
      ${list('attempts', attemptFields, attempts)},
      ${list('steps', stepFields, steps)},
      ${list('events', eventFields, events)},
      ${list('deliveries', deliveryFields, deliveries)}
    from tasks t join gates g on g.task_id = t.id
    where t.id = ${taskId} and ${visibleTo(caller)}`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const timeline = toTimeline(areContentsEncrypted() ? await openErrors(taskId, row) : row);
  return { ...timeline, ...(await readStatusText(taskId, row.status_message)) };
}

async function openErrors(taskId: string, row: Row): Promise<Row> {
  const { head, attempts } = row;
  const open = async <T extends { error?: string }>(attempt: T): Promise<T> =>
    attempt.error === undefined
      ? attempt
      : { ...attempt, error: (await openText('error', taskId, attempt.error)).slice(0, maxErrorChars) };
  return {
    ...row,
    head:
      head.lastError === undefined
        ? head
        : { ...head, lastError: await openText('error', taskId, head.lastError) },
    attempts: attempts && (await Promise.all(attempts.map(open))),
  };
}

/** One more entry than the most, newest first, as a JSON array named like the list. */
function list(name: List, fields: RawBuilder<unknown>, from: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
        select json_agg(json_strip_nulls(json_build_object(${fields}))) from (
          ${from} limit ${sql.lit(maxRead[name] + 1)}
        ) entry
      ) as ${sql.ref(name)}`;
}

const turns = sql`select turn, created_at from messages where task_id = t.id and role = 'user' order by turn desc`;

/** Attempts that have ended, and the one of the gate: it runs, completed its task, or was ended together with it. */
const attempts = sql`
          select fence, turn, worker, started_at, ended_at, outcome, error from turn_attempts where task_id = t.id
          union all
          select case when g.state_class = 0 then g.fence else g.fence - 1 end, g.turn, g.worker, g.claimed_at,
            g.settled_at, case t.state when 'TASK_STATE_COMPLETED' then 'finished'
              when 'TASK_STATE_CANCELED' then 'canceled' when 'TASK_STATE_FAILED' then 'expired' end,
            null
          where g.worker is not null
          order by fence desc`;
const attemptFields = sql`'turn', turn, 'fence', fence, 'worker', worker, 'startedAt', ${isoTime(sql`started_at`)},
          'endedAt', ${isoTime(sql`ended_at`)}, 'outcome', outcome, 'error', error`;

/** The schema of an answer may contain `\u0000`, which PostgreSQL refuses to parse. */
const waitKind = sql`substring(wait::text from '"kind" ?: ?"([a-z]+)"')`;

function ofChildren(value: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`case when ${waitKind} = 'children' then ${value} end`;
}

/** A sleep ends by the clock alone: nothing records its end. */
const steps = sql`
          select s.*, case
            when s.finished_at is not null then s.finished_at when ${waitKind} = 'sleep' and s.due_at <= now() then s.due_at
          end as ended_at
          from steps s where s.task_id = t.id order by turn desc, position desc`;
const stepFields = sql`'turn', turn, 'name', name, 'occurrence', occurrence, 'startedAt', ${isoTime(sql`started_at`)},
          'endedAt', ${isoTime(sql`ended_at`)}, 'usage', usage,
          'wait', case when wait is not null then
            json_build_object('kind', ${waitKind}, 'dueAt', ${isoTime(sql`due_at`)}, 'needed', ${ofChildren(sql`wait -> 'needed'`)},
              'ended', ${groupColumn('ended')}, 'size', ${groupColumn('size')}) end`;

/** Selects a number of the group that a step waits for; null for other steps. */
function groupColumn(name: 'ended' | 'size'): RawBuilder<unknown> {
  return sql`(select cg.${sql.ref(name)} from child_groups cg where cg.id = ${ofChildren(sql`(wait ->> 'group')::uuid`)})`;
}

const events = sql`select * from events where task_id = t.id order by seq desc`;
const eventFields = sql`'event', seq, 'kind', kind, 'at', ${isoTime(sql`created_at`)}, 'artifactId', artifact_id,
          'state', case when kind = 'state' then ${stateOfPayload(sql`payload`)} end`;

const deliveries = sql`
          select * from deliveries where task_id = t.id order by created_at desc, config_id desc, seq desc`;
const deliveryFields = sql`'webhook', config_id, 'event', seq, 'state', state, 'attempts', attempts,
          'createdAt', ${isoTime(sql`created_at`)}, 'settledAt', ${isoTime(sql`settled_at`)},
          'dueAt', case when state = 'pending' then ${isoTime(sql`due_at`)} end`;

function toTimeline(row: Row): Timeline {
  const cut: List[] = [];
  const take = <T>(name: List, entries: T[] | null): T[] => {
    if ((entries?.length ?? 0) > maxRead[name]) cut.push(name);
    return (entries ?? []).slice(0, maxRead[name]).toReversed();
  };
  const attempts = take('attempts', row.attempts);
  const steps = take('steps', row.steps);
  const turns = take('turns', row.turns).map((turn): TimelineTurn => {
    const own = attempts.flatMap(({ turn: of, ...attempt }) => (of === turn.turn ? [attempt] : []));
    const last = own.at(-1);
    const ended = last?.outcome !== undefined && endsTurn.has(last.outcome) ? last.endedAt : undefined;
    return {
      ...turn,
      ...(ended !== undefined && { endedAt: ended }),
      attempts: own,
      steps: steps.flatMap(({ turn: of, ...step }) => (of === turn.turn ? [step] : [])),
    };
  });
  return {
    ...row.head,
    turns,
    events: take('events', row.events),
    deliveries: take('deliveries', row.deliveries),
    cut,
  };
}

const endsTurn = new Set(['finished', 'canceled', 'expired']);
