/** The part of `POST /tasks:rerun` that runs the current turn of a task again from a step. */
import { RequestMalformedError } from '@a2a-js/sdk/errors';
import type { Db } from '#shared/db/client/pool.ts';
import { restartTurn, type Restart, type StepName } from '#shared/db/reruns/restart.ts';
import { isUuid } from '#shared/domain/ids.ts';
import type { OutboxPublisher } from '#shared/outbox/publisher.ts';
import type { Params } from '../../handler/operations.ts';
import { checkKnown } from '../body.ts';
import type { ExtensionCall } from '../routes.ts';
import type { RerunResult } from './results.ts';
import { stepBody } from './schemas.ts';

interface RestartParts {
  db: Db;
  outbox: OutboxPublisher;
  wakeupGraceSeconds: number;
}

/** Steps that a message names. */
const maxNamed = 20;

export async function restartFromStep(
  { db, outbox, wakeupGraceSeconds }: RestartParts,
  { caller, body }: ExtensionCall,
  taskId: string,
  dryRun: boolean,
): Promise<RerunResult> {
  const step = readStep(body);
  const restart: Restart = isUuid(taskId)
    ? await restartTurn(db, { wakeupGraceSeconds, dryRun }, caller, taskId, step)
    : { kind: 'not_found' };
  if (restart.kind !== 'restarted') return { taskId, ...toRefusal(restart, step) };
  outbox.publish(restart.wakeups);
  return { taskId, outcome: 'restarted', turn: restart.turn, steps: restart.steps };
}

function toRefusal(
  restart: Exclude<Restart, { kind: 'restarted' }>,
  step: StepName,
): Pick<RerunResult, 'outcome' | 'message'> {
  const refuse = (message: string) => ({ outcome: 'refused' as const, message });
  switch (restart.kind) {
    case 'not_found':
      return { outcome: 'not_found' };
    case 'ended':
      return refuse('the task has ended, which is final: omit fromStep to start a new task with its message');
    case 'interrupted':
      return refuse('the turn has ended and the task waits for a message: send one');
    case 'step_not_found': {
      const known = restart.steps.slice(0, maxNamed).map(nameStep).join(', ') || 'none';
      return refuse(`turn ${restart.turn} has not recorded ${nameStep(step)}: it has ${known}`);
    }
    case 'has_children':
      return refuse(
        `${nameStep(restart.step)} has started child tasks or waits for some, and would run again: choose a later step`,
      );
    default:
      return restart satisfies never;
  }
}

const nameStep = ({ name, occurrence }: StepName): string => `${name} (occurrence ${occurrence})`;

/** @throws {RequestMalformedError} */
function readStep(body: Params): StepName {
  const step = body['fromStep'];
  if (typeof step !== 'object' || step === null || Array.isArray(step)) {
    throw new RequestMalformedError('fromStep must be an object, such as {"name": "model", "occurrence": 0}');
  }
  checkKnown(step as Params, stepBody);
  const { name, occurrence = 0 } = step as Record<string, unknown>;
  if (typeof name !== 'string' || name === '')
    throw new RequestMalformedError('fromStep.name must be a string');
  if (typeof occurrence !== 'number' || !Number.isInteger(occurrence) || occurrence < 0) {
    throw new RequestMalformedError('fromStep.occurrence must be a whole number from 0');
  }
  return { name, occurrence };
}
