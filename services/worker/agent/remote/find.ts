/** Looks for the task of a message whose answer was lost, by the ids of the messages that tasks show in their history. */
import { GetTaskRequest, ListTasksRequest, type Task } from '@a2a-js/sdk';
import type { Client, RequestOptions } from '@a2a-js/sdk/client';
import type { RemoteMessage } from './agent.ts';

/** A task that has just been started has few messages. */
const newHistory = 20;
const knownHistory = 100;
/** Tasks are listed newest first. */
const pageSize = 50;
const maxPages = 4;

/**
 * Returns the id of the task; undefined if none shows the message.
 *
 * @throws {A2AError} if the agent does not list tasks
 */
export async function findTask(
  client: Client,
  { messageId, taskId, contextId }: RemoteMessage,
  options: RequestOptions,
): Promise<string | undefined> {
  const shows = ({ history }: Task): boolean => history.some((message) => message.messageId === messageId);
  if (taskId !== undefined) {
    const request = GetTaskRequest.fromJSON({ id: taskId, historyLength: knownHistory });
    return shows(await client.getTask(request, options)) ? taskId : undefined;
  }
  let pageToken = '';
  for (let page = 0; page < maxPages; page++) {
    const request = ListTasksRequest.fromJSON({ contextId, pageSize, pageToken, historyLength: newHistory });
    const listed = await client.listTasks(request, options);
    const found = listed.tasks.find(shows);
    if (found !== undefined) return found.id;
    pageToken = listed.nextPageToken;
    if (pageToken === '') break;
  }
  return undefined;
}
