/** `GET /search`: the caller's tasks that meet several conditions, newest status first. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Db } from '#shared/db/client/pool.ts';
import { areContentsEncrypted } from '#shared/db/contents/codec.ts';
import { searchTasks, type SearchFilter } from '#shared/db/tasks/search.ts';
import { taskStates, type TaskState } from '#shared/domain/task.ts';
import type { SearchPage } from '#shared/domain/views.ts';
import type { PageTokens } from '../../handler/page-token.ts';
import { oneOf, text, time } from '../../http/openapi/schema.ts';
import type { Query } from '../../http/query.ts';
import type { ExtensionCall } from '../routes.ts';
import { pageParameters, readPageSize, readTime } from './query.ts';

const maxTextChars = 200;

const condition = { ...text, minLength: 1, maxLength: maxTextChars };

/** In the order of the parameters; `readFilter` checks them. */
export const searchParameters = {
  state: { ...text, description: `One of ${taskStates.join(', ')}, or several with commas between them.` },
  statusSince: time,
  statusBefore: time,
  createdSince: time,
  createdBefore: time,
  agent: condition,
  metadataKey: condition,
  error: condition,
  webhook: oneOf(['failing', 'disabled']),
  ...pageParameters,
};

export async function search(
  { db, pageTokens }: { db: Db; pageTokens: PageTokens },
  { caller, query }: ExtensionCall,
): Promise<SearchPage> {
  const filter = readFilter(query);
  const size = readPageSize(query);
  const listing = JSON.stringify(['search', caller, filter]);
  const token = query.string('pageToken') ?? '';
  const after = token === '' ? undefined : pageTokens.verify(token, listing);
  const { tasks, next } = await searchTasks(db, caller, filter, { size, after });
  return { tasks, nextPageToken: next === undefined ? '' : pageTokens.sign({ ...next, total: 0 }, listing) };
}

/** @throws {RequestMalformedError} if a parameter is not valid */
function readFilter(query: Query): SearchFilter {
  return {
    states: readStates(query.string('state')),
    statusSince: readTime(query, 'statusSince'),
    statusBefore: readTime(query, 'statusBefore'),
    createdSince: readTime(query, 'createdSince'),
    createdBefore: readTime(query, 'createdBefore'),
    agent: readText(query, 'agent'),
    metadataKey: readContent(query, 'metadataKey'),
    error: readContent(query, 'error'),
    webhook: query.oneOf('webhook', ['failing', 'disabled']) as SearchFilter['webhook'],
  };
}

function readStates(list: string | undefined): TaskState[] | undefined {
  if (list === undefined) return undefined;
  const states = [...new Set(list.split(','))];
  const unknown = states.find((state) => !taskStates.some((known) => known === state));
  if (unknown === undefined) return states as TaskState[];
  throw new RequestMalformedError(
    `state must be a list of ${taskStates.join(', ')}, not "${unknown.slice(0, 40)}"`,
  );
}

/** Reads a condition on contents, which the database cannot search if they are encrypted. */
function readContent(query: Query, name: string): string | undefined {
  const text = readText(query, name);
  if (text === undefined || !areContentsEncrypted()) return text;
  throw new RequestMalformedError(
    `${name} is not available because contents are encrypted: search by state, time, agent or webhook`,
  );
}

function readText(query: Query, name: string): string | undefined {
  const text = query.string(name);
  if (text === undefined || (text !== '' && text.length <= maxTextChars)) return text;
  throw new RequestMalformedError(`${name} must have 1 to ${maxTextChars} characters, not ${text.length}`);
}
