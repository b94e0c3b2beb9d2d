/** The thread of a graph in the records of turns: of this turn's earlier runs, and of the turns before it. */
import type { StateLog, Turn } from '#services/worker/agent/agent.ts';
import type { Json } from '#shared/domain/message.ts';
import type { ModelUsage } from '#shared/domain/usage.ts';
import type { AnswerHandler } from './answer.ts';
import { readPending, type PendingInterrupt } from './interrupts.ts';
import { TurnSaver } from './saver.ts';
import type { Shape } from './shape.ts';
import type { ThreadEntry } from './threads.ts';

const entryNames = ['checkpoint', 'writes'];
/** How many earlier turns of the context are searched for a checkpoint, one number after the other. */
const searched = [1, 10, 100];

export interface GraphRecord {
  saver: TurnSaver;
  thread: string;
  /** The entries of earlier runs of this turn. */
  own: readonly ThreadEntry[];
  /** The interrupts with which the last turn of this task has ended. */
  pending: readonly PendingInterrupt[];
  /** The graph as it was when the thread was last under way in this task. */
  shape: Shape | undefined;
  /** The first error of the turn itself, which the graph may have caught. */
  failure: { error?: unknown };
}

export async function openRecord(
  turn: Turn,
  log: StateLog,
  { answer, shape, failure }: { answer: AnswerHandler; shape: Shape; failure: GraphRecord['failure'] },
): Promise<GraphRecord> {
  const thread = turn.contextId;
  const own = log.entries.flatMap(toEntry);
  const earlier =
    turn.number > 1 ? await readTurnsOfTask(turn) : own.length > 0 ? [] : await readContext(turn);
  let shapeToRecord = own.some((entry) => 'shape' in entry) ? undefined : shape;

  async function record(entry: ThreadEntry): Promise<void> {
    if ('values' in entry && shapeToRecord !== undefined) {
      entry.shape = shapeToRecord;
      shapeToRecord = undefined;
    }
    const { texts, usages } = 'task' in entry ? answer.take(entry.task) : { texts: [], usages: [] };
    if ('task' in entry && texts.length > 0) entry.texts = texts;
    await append('task' in entry ? 'writes' : 'checkpoint', entry, usages);
    // The next superstep runs in another process.
    if ('values' in entry) log.stopping.throwIfAborted();
  }

  /** A step has the usage of one call. */
  async function append(name: string, value: Json, [first, ...more]: ModelUsage[]): Promise<void> {
    await Promise.all([
      log.append(name, value, first === undefined ? {} : { usage: first }),
      ...more.map((usage) => log.append('usage', null, { usage })),
    ]);
  }

  const saver = new TurnSaver({
    entries: earlier,
    append: (entry) =>
      record(entry).catch((error: unknown) => {
        failure.error ??= error;
        throw error;
      }),
  });
  const pending = turn.number > 1 ? await readPending(saver, thread) : [];
  saver.restore(own);
  const shapes = [...(turn.number > 1 ? earlier : []), ...own].flatMap((entry) =>
    'shape' in entry && entry.shape !== undefined ? [entry.shape] : [],
  );
  return { saver, thread, own, pending, shape: shapes.at(-1), failure };
}

function toEntry({ name, value }: { name: string; value: Json }): ThreadEntry[] {
  return entryNames.includes(name) ? [value as ThreadEntry] : [];
}

async function readTurnsOfTask(turn: Turn): Promise<ThreadEntry[]> {
  const turns = await turn.readSteps(entryNames, { maxTurns: turn.number - 1 });
  return turns
    .toReversed()
    .flatMap(({ steps }) => steps.flatMap(({ name, result }) => toEntry({ name, value: result })));
}

/** A new task starts with the last state of its context. A thread that was under way there is not continued. */
async function readContext(turn: Turn): Promise<ThreadEntry[]> {
  for (const maxTurns of searched) {
    const turns = await turn.readSteps(['checkpoint'], { maxTurns });
    const last = turns.find(({ steps }) => steps.length > 0);
    if (last !== undefined) return last.steps.map(({ result }) => result as ThreadEntry);
  }
  return [];
}
