/** Decrypts what the export of an owner has read (owners/export.ts). */
import type { ContentKind } from '../../crypto/content-cipher.ts';
import type { Json, JsonObject } from '../../domain/message.ts';
import { toTemplatePlace } from '../schedules/rows.ts';
import { areContentsEncrypted, openJson, openText } from './codec.ts';
import { openStoredFile } from './files.ts';

/** The columns of each list that have contents. */
const columns: Readonly<Record<string, Readonly<Record<string, ContentKind>>>> = {
  messages: { message: 'message' },
  events: { payload: 'event' },
  artifacts: { artifact: 'artifact' },
  steps: { output: 'output' },
  files: { filename: 'filename', content: 'file' },
  attempts: { response_start: 'answer' },
};

export async function openTaskExport(taskId: string, task: JsonObject): Promise<JsonObject> {
  const opened: JsonObject = {
    ...task,
    status_message: await openValue('message', taskId, task['status_message']),
    metadata: await openValue('metadata', taskId, task['metadata']),
  };
  for (const [list, kinds] of Object.entries(columns)) {
    const rows = (task[list] ?? []) as JsonObject[];
    opened[list] = await Promise.all(rows.map((row) => openRow(taskId, row, kinds)));
  }
  return opened;
}

async function openRow(
  taskId: string,
  row: JsonObject,
  kinds: Readonly<Record<string, ContentKind>>,
): Promise<JsonObject> {
  const opened = { ...row };
  for (const [column, kind] of Object.entries(kinds))
    opened[column] = await openValue(kind, taskId, row[column]);
  return opened;
}

async function openValue(kind: ContentKind, taskId: string, value: Json | undefined): Promise<Json> {
  if (kind === 'file' && typeof value === 'string') {
    // PostgreSQL breaks base64 into lines.
    return (await openStoredFile(taskId, Buffer.from(value, 'base64'))).toString('base64');
  }
  const text = typeof value === 'string' ? await openText(kind, taskId, value) : value;
  return openJson(kind, taskId, text ?? null);
}

/** Decrypts the template of a schedule in a line of the export. */
export async function openTemplate(owner: string, line: JsonObject): Promise<JsonObject> {
  const schedule = line['schedule'] as { tenant: string; id: string; template: Json } | undefined;
  if (!areContentsEncrypted() || schedule === undefined) return line;
  const { taskId } = toTemplatePlace({ ...schedule, owner });
  return {
    ...line,
    schedule: { ...schedule, template: await openJson('template', taskId, schedule.template) },
  };
}
