/** The routes of the webhooks extension (docs/extensions/webhooks.md), as the commands call them. */
import type { Command } from 'commander';
import { webhooksExtensionUri } from '#shared/webhooks/extension.ts';
import type { Agent } from '../../agent/connect.ts';
import { callRoute } from '../../agent/rest.ts';
import { usageError } from '../../failure.ts';
import type { AgentOptions } from '../../settings/settings.ts';

export interface WebhookJson {
  /** The task and the health, in the list of all tasks. */
  taskId?: string;
  health?: string;
  id: string;
  url: string;
  events: string;
  state: string;
  failuresInARow: number;
  nextAttemptAt?: string;
  disabledReason?: string;
}

export interface WebhookOptions extends AgentOptions {
  webhook?: string;
}

/** Adds the arguments that name one webhook of a task. */
export function addWebhookArguments(command: Command, task = '<task>'): Command {
  return command
    .argument(task, 'id of the task')
    .option('--webhook <id>', 'id of the webhook, if the task has several');
}

export async function listWebhooks(agent: Agent, task: string): Promise<WebhookJson[]> {
  const path = `/tasks/${encodeURIComponent(task)}/webhooks`;
  return (await callRoute<{ webhooks: WebhookJson[] }>(agent, webhooksExtensionUri, path)).webhooks;
}

/**
 * Returns the path of a webhook.
 *
 * @param id undefined: the only one of the task
 * @throws {CliError} if the task has none or several
 */
export async function findWebhookPath(agent: Agent, task: string, id: string | undefined): Promise<string> {
  let found = id;
  if (found === undefined) {
    const ids = (await listWebhooks(agent, task)).map((webhook) => webhook.id);
    if (ids.length === 0) throw usageError(`task ${task} has no webhook`);
    if (ids.length > 1)
      throw usageError(`task ${task} has several webhooks: name one of ${ids.join(', ')} with --webhook`);
    [found = ''] = ids;
  }
  return `/tasks/${encodeURIComponent(task)}/webhooks/${encodeURIComponent(found)}`;
}

export async function getFromWebhook<T>(agent: Agent, path: string): Promise<T> {
  return await callRoute<T>(agent, webhooksExtensionUri, path);
}

export async function postToWebhook<T>(agent: Agent, path: string, body: object = {}): Promise<T> {
  return await callRoute<T>(agent, webhooksExtensionUri, path, { method: 'POST', body });
}
