/**
 * `longhaul webhooks listen`: forwards the events of the caller's tasks to a receiver on this machine, as webhooks. They
 * are signed with a secret of this user, which stays the same, so that a receiver can be developed with it.
 */
import { createHmac } from 'node:crypto';
import { Option, type Command } from 'commander';
import { environment } from '#shared/runtime/config/environment.ts';
import type { JsonObject } from '#shared/domain/message.ts';
import type { FeedEvent } from '#shared/domain/views.ts';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import type { Agent } from '../../agent/connect.ts';
import { followFeed } from '../../agent/feed.ts';
import { isSettled, replayExtension } from '../../agent/follow.ts';
import type { StreamEventJson } from '../../agent/json.ts';
import { exitStatus, usageError, type ExitStatus } from '../../failure.ts';
import { stateName } from '../../output/task-printer.ts';
import { print, printError, printJson } from '../../output/terminal.ts';
import { runAction, runOnAgent, type Context } from '../../run.ts';
import { readListenSecret } from '../../settings/listen-secret.ts';
import { addAgentOptions, checkUrl, type AgentOptions } from '../../settings/settings.ts';

interface ListenOptions extends AgentOptions {
  forwardTo?: string;
  events: 'all' | 'state' | 'end';
  printSecret?: boolean;
}

/** The time that a dispatcher waits for a receiver. */
const timeoutMs = 15_000;
/** Events to remember, because a feed may repeat them. */
const maxSeen = 10_000;

export function addListenCommand(group: Command): void {
  const command = group
    .command('listen')
    .description('Forward the events of all your tasks to a receiver on this machine, as webhooks.')
    .option('--forward-to <url>', 'address of the receiver')
    .addOption(
      new Option('--events <which>', 'which events: all, changes of state, or ends')
        .choices(['all', 'state', 'end'])
        .default('state'),
    )
    .option('--print-secret', 'print the secret that signs forwarded events, and leave');
  addAgentOptions(command)
    .addHelpText(
      'after',
      `
The secret is the same in each run. A forwarded event is not repeated if the receiver fails.

Examples:
  longhaul webhooks listen --forward-to http://localhost:9000/
  WEBHOOK_SECRET=$(longhaul webhooks listen --print-secret) node receiver.mjs`,
    )
    .action((options: ListenOptions) =>
      options.printSecret
        ? runAction(async () => {
            print(readListenSecret(environment));
            return exitStatus.done;
          })
        : runOnAgent(options, listen),
    );
}

async function listen({ agent, options, signal }: Context<ListenOptions>): Promise<ExitStatus> {
  const { forwardTo, events, json = false } = options;
  if (forwardTo === undefined) throw usageError('expected --forward-to with the address of the receiver');
  const url = checkUrl(forwardTo);
  const secret = readListenSecret(environment);
  const seen = new Set<string>();
  const feed = followFeed(agent, {
    signal,
    onOpen: () => printError(`forwarding events of ${agent.url} to ${url}, signed with ${secret}`),
    onReconnect: (reason) => printError(`reconnecting: ${reason}`),
  });
  for await (const event of feed) {
    const key = `${event.taskId}.${event.event}`;
    if (seen.has(key) || !isSelected(event, events)) continue;
    seen.add(key);
    for (const oldest of seen) {
      if (seen.size <= maxSeen) break;
      seen.delete(oldest);
    }
    const result = await forward(agent, event, url, secret);
    if (json) printJson({ taskId: event.taskId, event: event.event, ...result });
    else
      print(
        `${event.taskId} event ${event.event} ${stateName(event.state ?? event.kind)}: ${result.status ?? result.error}`,
      );
  }
  return exitStatus.done;
}

function isSelected({ kind, state }: FeedEvent, events: ListenOptions['events']): boolean {
  if (events === 'all') return true;
  if (kind !== 'state' || state === undefined) return false;
  return events === 'state' || isSettled({ task: { id: '', status: { state } } });
}

/** Posts one event. A receiver that fails is reported, and the next event follows. */
async function forward(
  agent: Agent,
  event: FeedEvent,
  url: string,
  secret: string,
): Promise<{ status?: number; error?: string }> {
  try {
    const content = await readContent(agent, event);
    if (content === undefined) return { error: 'the task has no such event any more' };
    const body = JSON.stringify(content);
    const id = `${event.taskId}.listen.${event.event}`;
    const timestamp = String(Math.floor(Date.now() / 1000));
    const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
    const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/a2a+json',
        'webhook-id': id,
        'webhook-timestamp': timestamp,
        'webhook-signature': `v1,${signature}`,
        'longhaul-task-id': event.taskId,
        'longhaul-event': String(event.event),
      },
      body,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    });
    await response.body?.cancel();
    return { status: response.status };
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    return { error: cause?.code ?? (error as Error).message };
  }
}

/** Returns the body of a webhook: the whole task if it ends or waits for its client, else the event. */
async function readContent(agent: Agent, { taskId, event }: FeedEvent): Promise<object | undefined> {
  const after = { 'a2a-extensions': replayExtension, 'last-event-id': String(event - 1) };
  for await (const found of agent.subscribe(taskId, after)) {
    const { task } = found;
    // The stream starts with the task as of an event: of the first one, if none comes before it.
    if (task !== undefined && getNumber(task.metadata) !== event) continue;
    if (task !== undefined && !isSettled(found)) {
      const { id, contextId, status } = task;
      return withMetadata({ statusUpdate: { taskId: id, contextId, status } } as StreamEventJson, {
        [webhooksExtensionUri]: { event },
      });
    }
    const update = found.statusUpdate ?? found.artifactUpdate;
    if (task === undefined && getNumber(update?.metadata) !== event) return undefined;
    const metadata = { [webhooksExtensionUri]: { event } };
    if (isSettled(found)) return { task: { ...(await agent.get(taskId)), metadata } };
    const { [replayExtension]: _number, ...own } = update?.metadata ?? {};
    return withMetadata(found, { ...own, ...metadata });
  }
  return undefined;
}

function getNumber(metadata: JsonObject | undefined): unknown {
  return (metadata?.[replayExtension] as { event?: unknown } | undefined)?.event;
}

function withMetadata({ statusUpdate, artifactUpdate }: StreamEventJson, metadata: object): object {
  return statusUpdate === undefined
    ? { artifactUpdate: { ...artifactUpdate, metadata } }
    : { statusUpdate: { ...statusUpdate, metadata } };
}
