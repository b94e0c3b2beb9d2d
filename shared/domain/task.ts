/**
 * The states of a task (A2A 1.0, section 4.1.3), their transitions, and the end of a turn while a message
 * waits.
 *
 *   submitted ──claim──▶ working ──▶ completed | failed | canceled | rejected        (terminal: invariant 4)
 *                          │  ▲
 *                          ▼  │ message
 *                input-required | auth-required                                      (interrupted)
 */
export const taskStates = [
  'TASK_STATE_SUBMITTED',
  'TASK_STATE_WORKING',
  'TASK_STATE_INPUT_REQUIRED',
  'TASK_STATE_AUTH_REQUIRED',
  'TASK_STATE_COMPLETED',
  'TASK_STATE_FAILED',
  'TASK_STATE_CANCELED',
  'TASK_STATE_REJECTED',
] as const;

export type TaskState = (typeof taskStates)[number];

/** Returns the short name of a state, such as `input-required`. */
export function toStateName(state: TaskState): string {
  return state.replace('TASK_STATE_', '').toLowerCase().replaceAll('_', '-');
}

/** The coarse state that the gate stores (as these numbers): enough to decide which writes are allowed. */
export const stateClass = { runnable: 0, interrupted: 1, terminal: 2 } as const;
export type StateClass = (typeof stateClass)[keyof typeof stateClass];

export function getStateClass(state: TaskState): StateClass {
  switch (state) {
    case 'TASK_STATE_SUBMITTED':
    case 'TASK_STATE_WORKING':
      return stateClass.runnable;
    case 'TASK_STATE_INPUT_REQUIRED':
    case 'TASK_STATE_AUTH_REQUIRED':
      return stateClass.interrupted;
    case 'TASK_STATE_COMPLETED':
    case 'TASK_STATE_FAILED':
    case 'TASK_STATE_CANCELED':
    case 'TASK_STATE_REJECTED':
      return stateClass.terminal;
    default:
      return state satisfies never;
  }
}

export function isTerminal(state: TaskState): boolean {
  return getStateClass(state) === stateClass.terminal;
}

/** The states in which a turn can end. */
export type TurnEndState = Exclude<TaskState, 'TASK_STATE_SUBMITTED' | 'TASK_STATE_WORKING'>;

/**
 * Returns whether a waiting message gets the next turn when a turn ends in this state: the task then stays
 * working instead. Failed, canceled and rejected close the queue; its messages stay in the history.
 */
export function yieldsToNextTurn(end: TurnEndState): boolean {
  switch (end) {
    case 'TASK_STATE_COMPLETED':
    case 'TASK_STATE_INPUT_REQUIRED':
    case 'TASK_STATE_AUTH_REQUIRED':
      return true;
    case 'TASK_STATE_FAILED':
    case 'TASK_STATE_CANCELED':
    case 'TASK_STATE_REJECTED':
      return false;
    default:
      return end satisfies never;
  }
}

/**
 * How an attempt to run a turn ended:
 *
 * - `finished`: the turn ended
 * - `waiting`: nothing was left to do but wait for a time or a call
 * - `parked`: the model had no capacity, or the owner has reached a limit
 * - `partner_failed`: a partner of the agent failed; the turn runs again
 * - `failed`: an error of the agent; the turn runs again
 * - `postponed`: put back without being run
 * - `stopped`: its worker was stopping
 * - `crashed`: its lease ran out
 * - `stalled`: its lease ran out, but its worker lives. Does not count
 * - `canceled`, `expired`: the task was canceled or missed its deadline
 * - `restarted`: the owner had the turn run again from a step
 */
export type AttemptOutcome =
  | 'finished'
  | 'waiting'
  | 'parked'
  | 'partner_failed'
  | 'failed'
  | 'postponed'
  | 'stopped'
  | 'crashed'
  | 'stalled'
  | 'canceled'
  | 'expired'
  | 'restarted';
