/** Checks the agent: its card, a task that runs to its end, and a webhook that comes back to this machine. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Agent } from '../agent/connect.ts';
import { isSettled } from '../agent/follow.ts';
import type { TaskJson } from '../agent/json.ts';
import { stateName } from '../output/task-printer.ts';
import type { Target } from '../settings/settings.ts';
import { failed, maxClockSeconds, ok, skipped, warning, type Finding } from './check.ts';
import { checkPort } from './machine.ts';

/** How long the task, and then its webhook, may take. */
const maxWaitMs = 30_000;
const pollMs = 250;

/** @param task whether to send one; undefined: only to an agent on this machine */
export async function checkAgent(target: Target, task: boolean | undefined): Promise<Finding[]> {
  const isLocal = /^(localhost|127\.0\.0\.1|\[::1\])$/.test(new URL(target.url).hostname);
  let agent: Agent;
  try {
    agent = await connect(target, AbortSignal.timeout(4 * maxWaitMs));
  } catch (error) {
    const fix = isLocal
      ? 'start one with longhaul dev, or name another with --url'
      : 'check --url and the profile';
    const found = failed('agent', (error as Error).message, fix);
    return isLocal ? [await checkPort(target.url), found] : [found];
  }
  const findings = [ok('agent', `${agent.card.name} at ${agent.url}`), await checkClock(target.url)];
  if (task ?? isLocal) return [...findings, ...(await checkTask(agent, isLocal))];
  const why = task === false ? 'as --no-task says' : 'the agent is not on this machine: --task sends one';
  return [...findings, skipped('task', why)];
}

async function checkClock(url: string): Promise<Finding> {
  const before = Date.now();
  const response = await fetch(url, {
    method: 'HEAD',
    redirect: 'manual',
    signal: AbortSignal.timeout(10_000),
  }).catch(() => undefined);
  const time = Date.parse(response?.headers.get('date') ?? '');
  if (Number.isNaN(time)) return skipped('clock', 'the agent states no time');
  // The header has whole seconds.
  const seconds = Math.abs(time + 500 - (before + Date.now()) / 2) / 1000;
  if (seconds <= maxClockSeconds) return ok('clock', 'agrees with that of the agent');
  const found = `the clocks of this machine and of the agent differ by ${seconds.toFixed(0)} s`;
  return warning('clock', found, 'synchronise them: signed webhooks are valid for five minutes only');
}

async function checkTask(agent: Agent, isLocal: boolean): Promise<Finding[]> {
  const receiver =
    isLocal && agent.card.capabilities?.pushNotifications === true ? await startReceiver() : undefined;
  let taskId: string | undefined;
  try {
    const startedAt = performance.now();
    const sent = await agent.send({
      message: { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text: 'What is 6 times 7?' }] },
      configuration: {
        returnImmediately: true,
        ...(receiver && { taskPushNotificationConfig: { url: receiver.url } }),
      },
    });
    if (!('task' in sent)) return [ok('task', 'the agent answered with a message')];
    taskId = sent.task.id;
    const task = await waitForEnd(agent, sent.task);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    return [describeTask(task, seconds), await describeWebhook(receiver)];
  } catch (error) {
    return [failed('task', (error as Error).message, 'read the log of the api')];
  } finally {
    // Its later events would fail for days: the receiver is gone.
    if (receiver !== undefined && taskId !== undefined)
      await agent.deleteWebhooks(taskId).catch(() => undefined);
    receiver?.close();
  }
}

async function waitForEnd(agent: Agent, first: TaskJson): Promise<TaskJson> {
  let task = first;
  for (const end = performance.now() + maxWaitMs; !isSettled({ task }) && performance.now() < end;) {
    await sleep(pollMs);
    task = await agent.get(first.id, 0);
  }
  return task;
}

function describeTask(task: TaskJson, seconds: string): Finding {
  const state = stateName(task.status?.state ?? 'unknown');
  if (!isSettled({ task })) {
    const found = `${task.id} is ${state} after ${seconds} s`;
    return failed('task', found, `a worker must run: see its log, and longhaul timeline ${task.id}`);
  }
  if (state !== 'failed') return ok('task', `${state} after ${seconds} s`);
  return failed('task', `${task.id} failed`, `longhaul timeline ${task.id} shows why`);
}

interface LoopBack {
  url: string;
  received: Promise<unknown>;
  close: () => void;
}

/** A receiver on this machine that accepts everything. */
async function startReceiver(): Promise<LoopBack> {
  const server = createServer((request, response) => {
    request.resume();
    response.end();
  });
  const received = once(server, 'request', { signal: AbortSignal.timeout(3 * maxWaitMs) }).catch(
    () => undefined,
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    received,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function describeWebhook(receiver: LoopBack | undefined): Promise<Finding> {
  if (receiver === undefined) return skipped('webhook', 'the agent sends none to this machine');
  const arrived = await Promise.race([
    receiver.received.then(() => true),
    sleep(maxWaitMs, false, { ref: false }),
  ]);
  if (arrived) return ok('webhook', `arrived at ${receiver.url}`);
  return failed(
    'webhook',
    `did not arrive at ${receiver.url}`,
    'a dispatcher must run, and WEBHOOK_ALLOW_HOSTS must have localhost: see its log',
  );
}
