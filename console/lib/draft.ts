/** The message that the user writes on the screen "New task", and the request of SendMessage that it becomes. Pure. */
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import type { SendParams } from './types.ts';

export interface DraftFile {
  filename: string;
  mediaType: string;
  /** Base64. */
  raw: string;
  /** Bytes. */
  size: number;
}

export interface Draft {
  text: string;
  files: readonly DraftFile[];
  /** JSON. */
  data: string;
  webhook: string;
  events: 'all' | 'state' | 'end';
  /** Local times, as a field of the type datetime-local has them. */
  startAt: string;
  deadline: string;
  contextId: string;
}

export const emptyDraft: Draft = {
  text: '',
  files: [],
  data: '',
  webhook: '',
  events: 'state',
  startAt: '',
  deadline: '',
  contextId: '',
};

const scheduleExtension = 'https://longhaul.dev/ext/schedule/v1';
const webhooksExtension = 'https://longhaul.dev/ext/webhooks/v1';

/** Why the message cannot be sent, and what would be accepted. */
export function findProblem(draft: Draft): string | undefined {
  const { text, files, data, webhook, startAt, deadline } = draft;
  if (text.trim() === '' && files.length === 0 && data.trim() === '')
    return 'Write a text, or add a file or data.';
  if (data.trim() !== '' && parseJson(data) === undefined)
    return `The data is not valid JSON: ${getJsonProblem(data)}`;
  if (webhook !== '' && !URL.canParse(webhook))
    return 'The webhook must be a URL, such as https://example.com/hook.';
  if (startAt !== '' && deadline !== '' && startAt >= deadline)
    return 'The deadline must be after the start.';
  return undefined;
}

export function createParams(draft: Draft, messageId: string): SendParams {
  const { text, files, data, webhook, events, contextId } = draft;
  const parsed = data.trim() === '' ? undefined : parseJson(data);
  const parts: Part[] = [
    ...(text.trim() === '' ? [] : [{ text }]),
    ...files.map(({ filename, mediaType, raw }) => ({ raw, filename, mediaType })),
    ...(parsed === undefined ? [] : [{ data: parsed.value, mediaType: 'application/json' }]),
  ];
  const metadata = createMetadata(draft);
  return {
    message: {
      messageId,
      role: 'ROLE_USER',
      parts,
      ...(contextId.trim() !== '' && { contextId: contextId.trim() }),
    },
    configuration: {
      returnImmediately: true,
      ...(webhook !== '' && { taskPushNotificationConfig: { url: webhook } }),
    },
    ...((Object.keys(metadata).length > 0 || (webhook !== '' && events !== 'state')) && { metadata }),
  };
}

function createMetadata({ startAt, deadline, webhook, events }: Draft): JsonObject {
  const schedule = {
    ...(startAt !== '' && { startAt: toIso(startAt) }),
    ...(deadline !== '' && { deadline: toIso(deadline) }),
  };
  return {
    ...(Object.keys(schedule).length > 0 && { [scheduleExtension]: schedule }),
    ...(webhook !== '' && events !== 'state' && { [webhooksExtension]: { events } }),
  };
}

/** A local time as UTC; the text itself while it is not complete. */
function toIso(local: string): string {
  const time = Date.parse(local);
  return Number.isNaN(time) ? local : new Date(time).toISOString();
}

function parseJson(text: string): { value: Json } | undefined {
  try {
    return { value: JSON.parse(text) as Json };
  } catch {
    return undefined;
  }
}

function getJsonProblem(text: string): string {
  try {
    JSON.parse(text);
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}
