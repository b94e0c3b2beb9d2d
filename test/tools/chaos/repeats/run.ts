/** Runs one scenario: tasks with long steps, a fault, and the count of steps that ran again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorMessage } from '#shared/runtime/log.ts';
import { createCleanup } from '../../../support/cleanup.ts';
import type { Scenario } from './scenarios.ts';
import { findRepeatedRuns, startWorld, waitUntilDone, type World } from './world.ts';

export interface Outcome {
  tasks: number;
  steps: number;
  repeated: number;
  notCompleted: number;
  note: string;
}

/** A follow-up must arrive before its task ends, on a busy machine too. */
const minStepSeconds = 1.5;

/** @param scale factor of all durations, down to steps of 1.5 s */
export async function runScenario(scenario: Scenario, scale: number): Promise<Outcome> {
  const { tasks, steps, pauseSeconds } = scenario;
  const cleanup = createCleanup();
  try {
    const world = await startWorld(cleanup, {
      stepSeconds: Math.max(minStepSeconds, scenario.stepSeconds * scale),
      leaseSeconds: Math.max(1, (scenario.leaseSeconds ?? 30) * scale),
      workers: 2,
    });
    const text = createScript(steps);
    const taskIds: string[] = [];
    const faultSeconds = scenario.faultSeconds * scale;
    let note: string | void;
    if (pauseSeconds === undefined) {
      for (let count = 0; count < tasks; count++) taskIds.push((await world.stack.submit(text)).id);
      await world.tool.count(tasks);
      note = await scenario.cause(world, faultSeconds, taskIds);
    } else {
      const sending = submitSlowly(world, text, { tasks, pauseSeconds, taskIds });
      note = await scenario.cause(world, faultSeconds, taskIds);
      await sending;
    }
    await waitUntilDone(world);
    const { rows } = await world.stack.pool.query<{ count: number }>(
      `select count(*)::int as count from tasks where state not in ('TASK_STATE_COMPLETED', 'TASK_STATE_CANCELED')`,
    );
    return {
      tasks: taskIds.length,
      steps: new Set(world.tool.received.map(({ body }) => body)).size,
      repeated: findRepeatedRuns(world.tool).length,
      notCompleted: rows[0]?.count ?? 0,
      note: [note, await scenario.measure?.(world)].filter((text) => text !== undefined).join('; '),
    };
  } finally {
    await cleanup.run();
  }
}

/** The text of a message to the scripted agent. */
export function createScript(steps: number): string {
  return Array.from({ length: steps }, (_, index) => `step s${index + 1}`).join('\n');
}

async function submitSlowly(
  { stack, webhooks }: World,
  text: string,
  { tasks, pauseSeconds, taskIds }: { tasks: number; pauseSeconds: number; taskIds: string[] },
): Promise<void> {
  const sending: Promise<unknown>[] = [];
  for (let count = 0; count < tasks; count++) {
    sending.push(
      (async () => {
        const configuration = { taskPushNotificationConfig: { url: webhooks.url } };
        const { id } = await stack.submit(text, { configuration });
        taskIds.push(id);
        await stack.submit(text, { message: { taskId: id } }).catch((error: unknown) => {
          // On a busy machine, the task may have ended before its follow-up arrived.
          if (!/has ended/.test(errorMessage(error))) throw error;
        });
      })(),
    );
    await sleep(pauseSeconds * 1000);
  }
  await Promise.all(sending);
}
