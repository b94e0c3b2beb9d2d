/** Long conversations: many turns of one task, and many tasks of one context. Each should cost what its own input costs. */
import { randomUUID } from 'node:crypto';
import { callJsonRpc } from '../../../support/clients/json-rpc.ts';
import { waitFor } from '../../../support/wait-for.ts';
import { createCallJob, type Job } from '../jobs.ts';
import { withRig, type Rig } from '../rig.ts';
import { alternate, ms, perSecond, polling, ratio, rounds, type BenchCase } from '../rounds.ts';
import { runJobToEnd } from './whole.ts';

const tasks = 10_000;
const followUps = 1_000;
/** The figures are those of the hundred turns up to each of these. */
const measuredAt = [100, 500, 1_000];

const configuration = { returnImmediately: true };

export const conversationsCase: BenchCase = () =>
  withRig(async (rig) => {
    const api = await rig.service('api');
    const queued = await queueFollowUps(rig, api.url);
    await rig.service('worker', { WORKER_CONCURRENCY: '300' });
    const turnMs = await measureTurns(rig, queued);
    await runJobToEnd(rig, createTaskJob(api.url, undefined), tasks);
    const medians = await alternate(
      {
        separate: () => runJobToEnd(rig, createTaskJob(api.url, undefined), tasks),
        together: () => runJobToEnd(rig, createTaskJob(api.url, randomUUID()), tasks),
      },
      rounds,
    );
    return [
      ...measuredAt.map((turn, index) =>
        ms(`a turn before the ${turn}th of a task`, turnMs[index] ?? Number.NaN),
      ),
      perSecond('tasks of one context', medians.together),
      perSecond('tasks of a context each', medians.separate),
      ratio('of the rate of separate contexts', medians.together / medians.separate, 0.5),
    ];
  });

function createTaskJob(url: string, contextId: string | undefined): Job {
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text: '' }], contextId };
  return createCallJob(url, 'SendMessage', { message, configuration }, { count: tasks });
}

/** Sends a task with follow-ups while no worker runs, and returns its id. */
async function queueFollowUps(rig: Rig, url: string): Promise<string> {
  const first = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: '' }] };
  const { result } = await callJsonRpc(
    url,
    'SendMessage',
    { message: first, configuration },
    { headers: {} },
  );
  const { id } = result.task as { id: string };
  const message = { messageId: '%NEW%', role: 'ROLE_USER', parts: [{ text: '' }], taskId: id };
  await rig.load(
    createCallJob(url, 'SendMessage', { message, configuration }, { count: followUps, connections: 8 }),
  );
  return id;
}

/** Runs the turns of a task, and returns the milliseconds of each of the hundred turns before `measuredAt`. */
async function measureTurns(rig: Rig, taskId: string): Promise<number[]> {
  const reachedAt = new Map<number, number>();
  const wanted = measuredAt.flatMap((turn) => [turn - 99, turn]);
  await waitFor(
    'the last turn',
    async () => {
      const { rows } = await rig.stack.pool.query<{ turn: number }>(
        'select turn from gates where task_id = $1',
        [taskId],
      );
      const turn = rows[0]?.turn ?? 0;
      for (const each of wanted)
        if (turn >= each && !reachedAt.has(each)) reachedAt.set(each, performance.now());
      return turn > followUps;
    },
    polling,
  );
  return measuredAt.map((turn) => ((reachedAt.get(turn) ?? 0) - (reachedAt.get(turn - 99) ?? 0)) / 99);
}
