/** The tool that returns what happened to a task, shortened: the newest entries of each list. */
import type { JsonObject } from '../../domain/message.ts';
import { toStateName } from '../../domain/task.ts';
import { tasksExtension, type Timeline } from '../../domain/views.ts';
import { createAnswer, cut, describeHeld, line, quoteNote } from '../answer.ts';
import { ownerArguments, readOfTask, taskId } from '../routes.ts';
import { defineTool, objects, reads, text } from '../tool.ts';

/** The most entries of each list. */
const most = { turns: 10, attempts: 20, steps: 50, events: 20, deliveries: 20 } as const;

export const getTimeline = defineTool({
  name: 'ops_timeline',
  title: 'Timeline of a task',
  description: `Returns what happened to a task, and why it is held back: turns, attempts with their errors, steps, events and webhook deliveries, the newest of each. ${quoteNote}`,
  effect: reads,
  args: { taskId, ...ownerArguments },
  output: {
    taskId: text,
    state: text,
    statusText: text,
    lastError: text,
    held: { type: 'object', description: 'Why its turn has to wait.' },
    turns: objects,
    attempts: objects,
    steps: objects,
    events: objects,
    deliveries: objects,
    leftOut: { type: 'object', description: 'How many older entries of a list are left out.' },
  },
  run: async (args, callRoute) => {
    const route = { extension: tasksExtension, route: '/tasks/:taskId/timeline' };
    const timeline = (await readOfTask(callRoute, args, route)) as Timeline;
    const { lists, leftOut } = shorten(timeline);
    const { lastError, statusText, held, createdAt, statusAt } = timeline;
    const state = toStateName(timeline.state);
    const says = {
      ...(held !== undefined && { held: { ...held } }),
      ...(statusText !== undefined && { statusText }),
      ...(lastError !== undefined && { lastError: cut(lastError) }),
    };
    const omitted = Object.entries(leftOut).map(([name, older]) => `${older} older ${name}`);
    return createAnswer(
      { taskId: timeline.taskId, state, createdAt, statusAt, ...says, ...lists, leftOut },
      [
        `Task ${timeline.taskId} is ${state} since ${statusAt}.`,
        ...(omitted.length === 0 ? [] : [`Left out: ${omitted.join(', ')}.`]),
      ],
      [
        ...(held === undefined ? [] : [line(describeHeld(held))]),
        ...(statusText === undefined ? [] : [`says: ${statusText}`]),
        ...(lastError === undefined ? [] : [`last error: ${cut(lastError)}`]),
        ...describe(lists).map(({ at, what }) => `${at} ${what}`),
      ],
    );
  },
});

type List = keyof typeof most;
type Lists = Record<List, Entry[]>;
type Entry = JsonObject & { turn?: number };

function shorten({ turns, events, deliveries }: Timeline): { lists: Lists; leftOut: Record<string, number> } {
  const all: Record<List, readonly object[]> = {
    turns: turns.map(({ turn, acceptedAt, endedAt }) => ({
      turn,
      acceptedAt,
      ...(endedAt !== undefined && { endedAt }),
    })),
    attempts: turns.flatMap(({ turn, attempts }) =>
      attempts.map(({ error, ...attempt }) => ({
        turn,
        ...attempt,
        ...(error !== undefined && { error: cut(error) }),
      })),
    ),
    steps: turns.flatMap(({ turn, steps }) => steps.map((step) => ({ turn, ...step }))),
    events,
    deliveries,
  };
  const leftOut: Record<string, number> = {};
  const lists = {} as Lists;
  for (const name of Object.keys(most) as List[]) {
    lists[name] = all[name].slice(-most[name]) as Entry[];
    const older = all[name].length - most[name];
    if (older > 0) leftOut[name] = older;
  }
  return { lists, leftOut };
}

interface Happening {
  at: string;
  what: string;
}

/** In the order of time. Entries of one moment stay in their order: a turn comes before its attempts and steps. */
function describe({ turns, attempts, steps, events, deliveries }: Lists): Happening[] {
  const toHappenings = (entries: Entry[], time: string, write: (entry: Record<string, string>) => string) =>
    entries.map((entry) => ({
      at: (entry as Record<string, string>)[time] ?? '',
      what: write(entry as Record<string, string>),
    }));
  return [
    ...toHappenings(turns, 'acceptedAt', ({ turn, endedAt }) =>
      line(`turn ${turn} accepted,`, endedAt === undefined ? 'not ended' : `ended ${endedAt}`),
    ),
    ...toHappenings(attempts, 'startedAt', ({ turn, worker, outcome = 'running', error }) =>
      line(`attempt of turn ${turn} by ${worker}: ${outcome}`, error),
    ),
    ...toHappenings(steps, 'startedAt', ({ name, occurrence, endedAt, wait }) =>
      line(
        `step ${name}#${occurrence}`,
        endedAt === undefined ? 'has not ended' : `ended ${endedAt}`,
        wait && `waits: ${JSON.stringify(wait)}`,
      ),
    ),
    ...toHappenings(events, 'at', ({ event, kind, state, artifactId }) =>
      line(`event ${event} ${kind}`, state, artifactId),
    ),
    ...toHappenings(deliveries, 'createdAt', ({ webhook, event, state, attempts, dueAt }) =>
      line(
        `webhook ${webhook} of event ${event}: ${state} after ${attempts} attempts`,
        dueAt && `due ${dueAt}`,
      ),
    ),
  ].sort((first, second) => (first.at < second.at ? -1 : Number(first.at > second.at)));
}
