/** Encrypts what turns write, and decrypts their steps. */
import type { JsonObject } from '../../domain/message.ts';
import { interactionStep, type Wait } from '../../domain/wait.ts';
import { largeWork } from '../../runtime/large-work.ts';
import type { RecordedWait } from '../turns/turn-content.ts';
import type { NewEvent, NewStep, TurnEnd, TurnRelease, TurnWrite } from '../turns/turn-write.ts';
import type { Db } from '../client/pool.ts';
import { areContentsEncrypted, createSealerOfTasks, openJson, type Sealer } from './codec.ts';

/** Encrypts what is stored for the step with this token, unless no step has it: then its statement finds none either. */
export async function sealForWait(
  db: Db,
  token: string,
  kind: 'output' | 'request',
  text: string,
): Promise<string> {
  if (!areContentsEncrypted()) return text;
  const step = await db.selectFrom('steps').select('task_id').where('token', '=', token).executeTakeFirst();
  if (step === undefined) return text;
  return (await createSealerOfTasks([step.task_id])).json(kind, step.task_id, text);
}

/** @param isLarge the write waits until the event loop is free for it */
export async function sealWrite(write: TurnWrite, isLarge: boolean): Promise<TurnWrite> {
  const { taskId } = write.lease;
  const sealer = await createSealerOfTasks([taskId]);
  if (isLarge) await largeWork.start(taskId);
  const { events, steps, finish } = write;
  return {
    ...write,
    ...(events && { events: events.map((event) => sealEvent(sealer, taskId, event)) }),
    ...(steps && { steps: steps.map((step) => sealStep(sealer, taskId, step)) }),
    ...(finish && { finish: sealFinish(sealer, taskId, finish) }),
  };
}

function sealEvent(sealer: Sealer, taskId: string, event: NewEvent): NewEvent {
  const { payload, statusMessage, artifact } = event;
  return {
    ...event,
    payload: sealer.json('event', taskId, payload),
    ...(statusMessage !== undefined && { statusMessage: sealer.json('message', taskId, statusMessage) }),
    ...(artifact?.whole !== undefined && {
      artifact: { ...artifact, whole: sealer.json('artifact', taskId, artifact.whole) },
    }),
  };
}

const lastFields = /(?:"base":(?<base>\d{1,9}),)?"interaction":"(?<interaction>[^"\\]+)"\}$/;

/** The id of a call at Google stays in clear: see the column `interaction` of steps, and models/stored-replies.ts. */
function sealStep(sealer: Sealer, taskId: string, unsealed: NewStep): NewStep {
  const step = unsealed.wait?.wait.kind === 'callback' ? sealSchema(sealer, taskId, unsealed) : unsealed;
  const { name, output } = step;
  if (output === null || (name === interactionStep && /^\{"id":"[^"\\]+"\}$/.test(output))) return step;
  const found = name === 'model' ? lastFields.exec(output.slice(-600)) : null;
  const { base, interaction } = found?.groups ?? {};
  const clear = {
    ...(base !== undefined && { base: Number(base) }),
    ...(interaction !== undefined && { interaction }),
  };
  return { ...step, output: sealer.json('output', taskId, output, clear) };
}

/** A schema may quote what an answer is about. */
function sealSchema(sealer: Sealer, taskId: string, step: NewStep): NewStep {
  const { wait: own } = step;
  if (own?.wait.kind !== 'callback' || own.wait.schema === undefined) return step;
  const schema = JSON.parse(sealer.json('schema', taskId, JSON.stringify(own.wait.schema))) as JsonObject;
  return { ...step, wait: { ...own, wait: { ...own.wait, schema } } };
}

export async function openWait<W extends Wait>(taskId: string, wait: W): Promise<W> {
  if (wait.kind !== 'callback' || wait.schema === undefined) return wait;
  return { ...wait, schema: await openJson('schema', taskId, wait.schema) };
}

export async function openRecordedWait(
  taskId: string,
  recorded: RecordedWait | null,
): Promise<RecordedWait | null> {
  return recorded && { ...recorded, wait: await openWait(taskId, recorded.wait) };
}

function sealFinish(sealer: Sealer, taskId: string, finish: TurnEnd | TurnRelease): TurnEnd | TurnRelease {
  const error = sealer.text('error', taskId, finish.error);
  if (finish.kind === 'release') return { ...finish, error };
  return {
    ...finish,
    error,
    payload: sealer.json('event', taskId, finish.payload, { state: finish.state }),
    payloadIfContinued: sealer.json('event', taskId, finish.payloadIfContinued),
    message: sealer.json('message', taskId, finish.message),
  };
}
