/** Reads the arguments of tools. Their problems are the result of the call, so that a model can correct itself. */
import * as v from 'valibot';
import {
  AnyText,
  atLeast,
  atMost,
  choice,
  Flag,
  Integer,
  list,
  strictMapping,
  Text,
  Url,
} from '#shared/agent/fields.ts';
import { approvalExtension } from '#shared/agent/approval.ts';
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';
import { taskStates, toStateName } from '#shared/domain/task.ts';
import { maxWaitSeconds } from '../../http/conditional.ts';

/** The arguments of a tool are not valid. The message is for the model. */
export class ArgumentsError extends Error {
  override readonly name = 'ArgumentsError';
}

const File = strictMapping({
  url: v.exactOptional(Url),
  /** Base64. */
  bytes: v.exactOptional(Text),
  name: v.exactOptional(AnyText),
  mediaType: v.exactOptional(AnyText),
});

const content = {
  text: v.exactOptional(AnyText),
  files: v.exactOptional(list(File)),
  data: v.exactOptional(v.unknown()),
};
const taskId = Text;
const stateNames = taskStates.map(toStateName);

const SkillArguments = strictMapping({ ...content, contextId: v.exactOptional(Text) });
const skillFields = ['text', 'files', 'data', 'contextId'];
export const TaskArguments = strictMapping({ taskId });
export const GetTaskArguments = strictMapping({
  taskId,
  waitSeconds: v.exactOptional(v.pipe(Integer, atLeast(0), atMost(maxWaitSeconds))),
});
export const ListTasksArguments = strictMapping({
  state: v.exactOptional(choice(stateNames)),
  contextId: v.exactOptional(Text),
  pageSize: v.exactOptional(v.pipe(Integer, atLeast(1), atMost(100))),
  pageToken: v.exactOptional(AnyText),
});
export const AnswerArguments = strictMapping({
  taskId,
  ...content,
  decisions: v.exactOptional(
    list(
      strictMapping({
        id: Text,
        argumentsHash: Text,
        approve: Flag,
        reason: v.exactOptional(AnyText),
      }),
    ),
  ),
});

/** @throws {ArgumentsError} */
export function readArguments<const T extends v.GenericSchema>(schema: T, args: unknown): v.InferOutput<T> {
  const { success, output, issues } = v.safeParse(schema, args ?? {});
  if (success) return output;
  const problems = issues.map((issue) => {
    const path = v.getDotPath(issue);
    return `${path === null ? 'The arguments' : path} ${issue.message}`;
  });
  throw new ArgumentsError(`${problems.join('. ')}.`);
}

type Content = v.InferOutput<typeof SkillArguments>;

/**
 * @param takesData whether arguments of other names are fields of the data
 * @throws {ArgumentsError}
 */
export function readSkillArguments(args: unknown, takesData: boolean): Content {
  if (!takesData || typeof args !== 'object' || args === null) return readArguments(SkillArguments, args);
  const entries = Object.entries(args);
  const others = entries.filter(([name]) => !skillFields.includes(name));
  const known = entries.filter(([name]) => skillFields.includes(name));
  const content = readArguments(SkillArguments, Object.fromEntries(known));
  if (others.length === 0) return content;
  const { data = {} } = content;
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    throw new ArgumentsError(`data must be an object next to ${others.map(([name]) => name).join(', ')}.`);
  }
  return { ...content, data: { ...data, ...Object.fromEntries(others) } };
}

/**
 * Returns the parts of a message.
 *
 * @throws {ArgumentsError} if there are none, or a file has both an address and content
 */
export function toParts({ text, files = [], data }: Pick<Content, 'text' | 'files' | 'data'>): Part[] {
  const parts: Part[] = [];
  if (text !== undefined && text !== '') parts.push({ text });
  for (const [index, { url, bytes, name, mediaType }] of files.entries()) {
    if ((url === undefined) === (bytes === undefined)) {
      throw new ArgumentsError(`files.${index} must have either url or bytes.`);
    }
    parts.push({
      ...(url === undefined ? { raw: bytes ?? '' } : { url }),
      ...(name !== undefined && { filename: name }),
      ...(mediaType !== undefined && { mediaType }),
    });
  }
  if (data !== undefined) parts.push({ data: data as Json, mediaType: 'application/json' });
  return parts;
}

/** Returns the part with which a user approves calls. */
export function toDecisionPart(
  decisions: NonNullable<v.InferOutput<typeof AnswerArguments>['decisions']>,
): Part {
  const data: JsonObject = { [approvalExtension]: { decisions } };
  return { data, mediaType: 'application/json' };
}
