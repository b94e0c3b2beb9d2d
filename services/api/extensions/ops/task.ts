/** `GET /ops/tasks/{id}` and its steps: tasks of all owners, with their contents, cut. Reads of them are audited. */
import { RequestMalformedError, TaskNotFoundError } from '@a2a-js/sdk/errors';
import type { Db } from '#shared/db/client/pool.ts';
import { readStepsOfAnyOwner, type StoredStep } from '#shared/db/ops/steps.ts';
import { readTaskOfAnyOwner } from '#shared/db/ops/task.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { Json, JsonObject } from '#shared/domain/message.ts';
import type { OpsStep, OpsSteps, OpsTask } from '#shared/domain/views.ts';
import { cut, sliceWhole, cutTexts } from '#shared/mcp/answer.ts';
import { HttpRequestError } from '../../handler/errors.ts';
import { integer, text } from '../../http/openapi/schema.ts';
import type { Query } from '../../http/query.ts';
import type { ExtensionCall } from '../routes.ts';
import { pageParameters, readPageSize } from '../tasks/query.ts';

interface TaskParts {
  db: Db;
}

const defaultChars = 2_000;
const maxChars = 20_000;
const maxInteger = 2 ** 31 - 1;

export const taskParameters = {
  maxChars: { ...integer, minimum: 1, maximum: maxChars, default: defaultChars },
};
export const stepsParameters = {
  turn: { ...integer, minimum: 1, maximum: maxInteger, description: 'Default: the newest.' },
  name: text,
  occurrence: { ...integer, minimum: 0, maximum: maxInteger },
  ...taskParameters,
  ...pageParameters,
};

export async function getTask({ db }: TaskParts, { path, query }: ExtensionCall): Promise<OpsTask> {
  const { message, statusMessage, artifacts, lastError, ...task } = await readTask(db, path['taskId'] ?? '');
  const chars = readCount(query, 'maxChars', maxChars) ?? defaultChars;
  return {
    ...task,
    ...(lastError !== undefined && { lastError: cut(lastError, chars) }),
    ...(message !== undefined && { message: cutTexts(message, chars) }),
    ...(statusMessage !== undefined && { statusMessage: cutTexts(statusMessage, chars) }),
    artifacts: cutTexts(artifacts, chars),
  };
}

async function readTask(db: Db, taskId: string): Promise<OpsTask> {
  const task = isUuid(taskId) ? await readTaskOfAnyOwner(db, taskId) : undefined;
  if (task === undefined) throw new TaskNotFoundError(`task ${taskId} was not found`);
  return task;
}

/** The newest steps of the newest turn, unless the query names another turn, or one step. */
export async function getSteps({ db }: TaskParts, { path, query }: ExtensionCall): Promise<OpsSteps> {
  const task = await readTask(db, path['taskId'] ?? '');
  const { taskId } = task;
  const turn = readCount(query, 'turn', maxInteger) ?? task.turn;
  const chars = readCount(query, 'maxChars', maxChars) ?? defaultChars;
  const size = Math.min(readPageSize(query), maxSteps);
  const read = { taskId, turn, chars };
  const named = await findNamed(db, query, read);
  const before = named?.position ?? readCount(query, 'pageToken', maxInteger) ?? maxInteger;
  const found = await readStepsOfAnyOwner(db, { ...read, before, size: named ? maxSteps : size + 1 });
  const page = named ? [named] : found.slice(-size);
  const all = named ? [...found, named] : found;
  // The calls of the first steps are in the reply of the model before them.
  const models = await readStepsOfAnyOwner(db, {
    ...read,
    before: all[0]?.position ?? 0,
    name: modelStep,
    size: 1,
  });
  const inputs = findInputs([...models, ...all]);
  return {
    taskId,
    turn,
    steps: page.map((step) => toStep(step, inputs.get(step), chars)),
    nextPageToken: !named && found.length > page.length ? String(page[0]?.position) : '',
  };
}

/**
 * Returns the step that the query names; undefined if it names none.
 *
 * @throws {HttpRequestError} 404 if the turn has not recorded it
 */
async function findNamed(
  db: Db,
  query: Query,
  read: { taskId: string; turn: number; chars: number },
): Promise<StoredStep | undefined> {
  const name = query.string('name');
  const occurrence = readCount(query, 'occurrence', maxInteger, 0);
  if (name === undefined) {
    if (occurrence === undefined) return undefined;
    throw new RequestMalformedError('occurrence needs the name of a step');
  }
  const everywhere = { ...read, before: maxInteger };
  const [step] = await readStepsOfAnyOwner(db, { ...everywhere, name, occurrence: occurrence ?? 0, size: 1 });
  if (step !== undefined) return step;
  const others = await readStepsOfAnyOwner(db, { ...everywhere, size: maxNamed });
  const known = others.map((each) => `${each.name}#${each.occurrence}`).join(', ') || 'no steps';
  throw new HttpRequestError(
    404,
    `turn ${read.turn} has not recorded the step ${name}#${occurrence ?? 0}: it has ${known}`,
  );
}

/** Steps that a message names. */
const maxNamed = 20;
const maxSteps = 50;
const modelStep = 'model';
const toolPrefix = 'tool:';

/**
 * Finds the arguments of calls: those of one name follow the reply of the model in its order. A call that waited for
 * approval ran in the turn of the decision, which has no reply before it.
 */
function findInputs(steps: readonly StoredStep[]): ReadonlyMap<StoredStep, Json> {
  const inputs = new Map<StoredStep, Json>();
  let calls: { name: string; args: Json }[] = [];
  for (const step of steps) {
    if (step.name === modelStep) calls = readCalls(step);
    if (!step.name.startsWith(toolPrefix)) continue;
    const at = calls.findIndex(({ name }) => name === step.name.slice(toolPrefix.length));
    const [call] = at === -1 ? [] : calls.splice(at, 1);
    if (call !== undefined) inputs.set(step, call.args);
  }
  return inputs;
}

function readCalls({ output, isWhole }: StoredStep): { name: string; args: Json }[] {
  if (output === null || !isWhole) return [];
  // A step of this name may be one of an agent in code.
  const reply = JSON.parse(output) as { content?: { parts?: unknown } | null } | null;
  const parts = reply?.content?.parts;
  return (Array.isArray(parts) ? (parts as (JsonObject | null)[]) : []).flatMap((part) => {
    const call = part?.functionCall as { name?: unknown; args?: Json } | null | undefined;
    return typeof call?.name === 'string' ? [{ name: call.name, args: call.args ?? {} }] : [];
  });
}

function toStep(step: StoredStep, input: Json | undefined, chars: number): OpsStep {
  const { name, occurrence, startedAt, endedAt, output, isWhole, bytes } = step;
  const isCut = !isWhole || (output !== null && output.length > chars);
  return {
    name,
    occurrence,
    startedAt,
    ...(endedAt !== null && { endedAt }),
    ...(input !== undefined && { input: cut(JSON.stringify(input), chars) }),
    ...(output !== null && { output: sliceWhole(output, chars) }),
    ...(isCut && { cutFromBytes: bytes }),
  };
}

/** @throws {RequestMalformedError} if the parameter is not a number from `min` to `max` */
function readCount(query: Query, name: string, max: number, min = 1): number | undefined {
  const value = query.integer(name);
  if (value === undefined || (value >= min && value <= max)) return value;
  throw new RequestMalformedError(`${name} must be from ${min} to ${max}, not ${value}`);
}
