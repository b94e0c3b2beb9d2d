/** Names and tones of the states of a task and of its parts. */
import type { AttemptOutcome, TaskState } from '#shared/domain/task.ts';
import type { TimelineDelivery } from '#shared/domain/views.ts';

/** The colour of a state; styles/tokens.css defines them. */
export type Tone = 'neutral' | 'active' | 'wait' | 'good' | 'bad' | 'muted';

export const stateNames: Readonly<Record<TaskState, string>> = {
  TASK_STATE_SUBMITTED: 'Queued',
  TASK_STATE_WORKING: 'Working',
  TASK_STATE_INPUT_REQUIRED: 'Needs input',
  TASK_STATE_AUTH_REQUIRED: 'Needs approval',
  TASK_STATE_COMPLETED: 'Completed',
  TASK_STATE_FAILED: 'Failed',
  TASK_STATE_CANCELED: 'Canceled',
  TASK_STATE_REJECTED: 'Rejected',
};

export const stateTones: Readonly<Record<TaskState, Tone>> = {
  TASK_STATE_SUBMITTED: 'neutral',
  TASK_STATE_WORKING: 'active',
  TASK_STATE_INPUT_REQUIRED: 'wait',
  TASK_STATE_AUTH_REQUIRED: 'wait',
  TASK_STATE_COMPLETED: 'good',
  TASK_STATE_FAILED: 'bad',
  TASK_STATE_CANCELED: 'muted',
  TASK_STATE_REJECTED: 'bad',
};

export const outcomeTones: Readonly<Record<AttemptOutcome, Tone>> = {
  finished: 'good',
  waiting: 'wait',
  parked: 'wait',
  partner_failed: 'bad',
  failed: 'bad',
  postponed: 'neutral',
  stopped: 'neutral',
  crashed: 'bad',
  canceled: 'muted',
  expired: 'bad',
  restarted: 'neutral',
  stalled: 'bad',
};

export const outcomeNames: Readonly<Record<AttemptOutcome, string>> = {
  finished: 'finished',
  waiting: 'waits',
  parked: 'parked',
  partner_failed: 'a partner failed',
  failed: 'failed',
  postponed: 'postponed',
  stopped: 'its worker stopped',
  crashed: 'its worker died',
  canceled: 'canceled',
  expired: 'missed the deadline',
  restarted: 'restarted from a step',
  stalled: 'its worker stalled',
};

export const deliveryTones: Readonly<Record<TimelineDelivery['state'], Tone>> = {
  pending: 'wait',
  delivered: 'good',
  failed: 'bad',
  cancelled: 'muted',
  merged: 'muted',
};

/** Whether a person has to act before the task continues. */
export function needsPerson(state: TaskState): boolean {
  return state === 'TASK_STATE_INPUT_REQUIRED' || state === 'TASK_STATE_AUTH_REQUIRED';
}

export function isRunning(state: TaskState): boolean {
  return state === 'TASK_STATE_SUBMITTED' || state === 'TASK_STATE_WORKING';
}
