/**
 * A run: start ▸ tasks and schedules, while a process is killed and started again each second or two ▸ wait until all is
 * done ▸ check from outside, by the runs of steps at the tool, and by the tasks that exist.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { createCleanup } from '../../../support/cleanup.ts';
import { writeAgentFile } from '../../../support/agents/definition.ts';
import { getStepRuns, startScriptedStack } from '../../../support/services/scripted-stack.ts';
import { getExecutions, startSdkAgent } from '../../../support/agents/sdk-agents.ts';
import { isCompleted, type RunningService, type ServiceKind, type Stack } from '../../../support/stack.ts';
import { SeededRandom } from '../random.ts';
import { checkSchedules, createSchedules, pauseSchedules } from './schedules.ts';

interface Options {
  tasks: number;
  /** The number of children that each task joins. */
  children: number;
  seconds: number;
  seed: number;
}

const createScript = (children: number): string =>
  [
    'step before',
    'sleep pause 2',
    'call answer 600',
    'agent self sleep nap 2;step inner;say once',
    'agent notifying hi',
    'agent polled hi',
    `spawn kids ${children} step work;say done`,
    'join all all 600',
    'step after',
  ].join('\n');

/** Under load, processes take seconds to start. */
const taskBoundMs = 300_000;

export async function runWaits({
  tasks,
  children,
  seconds,
  seed,
}: Options): Promise<{ problems: string[]; lines: string[] }> {
  const cleanup = createCleanup();
  // The server of the SDK logs each notification.
  const { info } = console;
  console.info = () => undefined;
  try {
    const { stack, tool } = await startScriptedStack(cleanup, { MAX_ATTEMPTS: '100' });
    const [polled, notifying] = await Promise.all([
      startSdkAgent(cleanup, 'JSONRPC'),
      startSdkAgent(cleanup, 'HTTP+JSON', { pushNotifications: true }),
    ]);
    const urls = { self: stack.apiUrl, polled, notifying };
    stack.env['AGENT_FILE'] = writeAgentFile(cleanup, {
      agents: Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, { url }])),
    });
    const kinds: ServiceKind[] = ['api', 'dispatcher', 'worker', 'worker'];
    const services = await Promise.all(kinds.map((kind) => stack.start(kind)));
    await createSchedules(stack.apiUrl);
    const ids: string[] = [];
    const answering = answerCallbacks(stack, ids);
    const [kills] = await Promise.all([
      killInTurn(stack, kinds, services, { seconds, seed }),
      submitSlowly(stack, ids, { tasks, children, seconds }),
    ]);
    const problems: string[] = [];
    for (const id of ids) {
      await stack
        .until(id, isCompleted, taskBoundMs)
        .catch(() => problems.push(`task ${id} is not completed`));
    }
    answering.stop();
    await pauseSchedules(stack.apiUrl);
    const schedules = await checkSchedules(stack.apiUrl);
    problems.push(...schedules.problems, ...(await checkTasks(stack, ids, children)));
    for (const id of ids) {
      const runs = new Set(getStepRuns(tool, id));
      if (runs.size !== 2) problems.push(`task ${id} ran the steps ${[...runs].join(', ')}`);
    }
    const executions = [...getExecutions().values()];
    const repeated = executions.reduce((sum, count) => sum + count - 1, 0);
    if (executions.length !== 2 * tasks) {
      problems.push(`the agents of the SDK got ${executions.length} messages, not ${2 * tasks}`);
    }
    if (repeated > kills) problems.push(`the agents of the SDK ran ${repeated} messages again`);
    return {
      problems,
      lines: [
        `${kills} kills, ${tasks} tasks with ${children} children each, ${schedules.firings} due times of schedules`,
        `messages that agents without a check for repeats ran again: ${repeated} of ${executions.length}`,
      ],
    };
  } finally {
    console.info = info;
    await cleanup.run();
  }
}

async function submitSlowly(
  stack: Stack,
  ids: string[],
  { tasks, children, seconds }: Pick<Options, 'tasks' | 'children' | 'seconds'>,
): Promise<void> {
  while (ids.length < tasks) {
    // The same when the message is sent again, because the api may have been killed before it answered.
    const message = { messageId: `waits-${ids.length}` };
    for (;;) {
      const sent = await stack.submit(createScript(children), { message }).catch(() => undefined);
      if (sent !== undefined) {
        ids.push(sent.id);
        break;
      }
      await sleep(300);
    }
    await sleep((seconds / tasks) * 1000);
  }
}

/** Kills one process after the other, each at least once, and starts it again. @returns the number of kills */
async function killInTurn(
  stack: Stack,
  kinds: readonly ServiceKind[],
  services: RunningService[],
  { seconds, seed }: Pick<Options, 'seconds' | 'seed'>,
): Promise<number> {
  const random = new SeededRandom(seed, 'kills');
  const until = performance.now() + seconds * 1000;
  let kills = 0;
  for (; performance.now() < until || kills < kinds.length; kills++) {
    await sleep(random.between(500, 2_000));
    const index = kills % kinds.length;
    await services[index]?.kill();
    services[index] = await stack.start(kinds[index] ?? 'worker');
  }
  return kills;
}

/** Answers each callback until it is accepted. */
function answerCallbacks(stack: Stack, ids: readonly string[]): { stop: () => void } {
  const stop = new AbortController();
  const answered = new Set<string>();
  void (async () => {
    while (!stop.signal.aborted) {
      for (const id of ids.filter((each) => !answered.has(each))) {
        if (await answer(stack, id).catch(() => false)) answered.add(id);
      }
      await sleep(300);
    }
  })();
  return { stop: () => stop.abort() };
}

async function answer(stack: Stack, id: string): Promise<boolean> {
  const { result } = await stack.rpc('GetTask', { id });
  const task = result as { artifacts?: { artifactId: string; parts: { text?: string }[] }[] };
  const url = task.artifacts?.find(({ artifactId }) => artifactId === 'url')?.parts[0]?.text;
  if (url === undefined) return false;
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ task: id }) });
  return response.status === 200 || response.status === 409;
}

/** Each task must have its children, and one task at the agent that is this service itself. */
async function checkTasks(stack: Stack, ids: readonly string[], children: number): Promise<string[]> {
  const { rows: counts } = await stack.pool.query<{ id: string; started: number }>(
    `select cg.parent_id as id, count(t.id)::int as started from child_groups cg
     join tasks t on t.child_group = cg.id where cg.parent_id = any($1) group by 1`,
    [ids],
  );
  const wrong = ids.filter((id) => counts.find((row) => row.id === id)?.started !== children);
  const { rows: called } = await stack.pool.query<{ count: number }>(
    `select count(*)::int as count from tasks where metadata::text like '%ext/hops/%'`,
  );
  const count = called[0]?.count ?? 0;
  return [
    ...wrong.map((id) => `task ${id} has another number of children than ${children}`),
    ...(count === ids.length ? [] : [`${ids.length} calls of this service started ${count} tasks`]),
  ];
}
