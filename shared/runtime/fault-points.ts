/**
 * Named points at which a process kills itself, so that a test can crash it exactly between two steps that
 * must hold together (`FAULT_POINT=name`, or `name:n` for the n-th time). If the variable is not set, a fault
 * point costs one comparison.
 *
 * The state is global, because a fault point ends the whole process.
 */
export const faultPointNames = [
  /** api: the message is stored; its wake-up is not published. */
  'message-stored',
  /** worker: the turn is claimed; no work has been done. */
  'turn-claimed',
  /** worker: a step has run; it is not recorded. */
  'step-run',
  /** worker: a step is recorded; its result is not used. */
  'step-recorded',
  /** worker: another agent has answered a message; its task is not recorded. */
  'call-sent',
  /** worker: Google has created a batch; its name is not recorded. */
  'batch-created',
  /** worker: a chunk of a streamed artifact is stored; more chunks follow. */
  'chunk-stored',
  /** worker: the end of the turn is stored; none of its wake-ups is published. */
  'turn-ended',
  /** dispatcher: the delivery is claimed; nothing is sent. */
  'delivery-claimed',
  /** dispatcher: the receiver has responded; the attempt is not recorded. */
  'webhook-posted',
  /** dispatcher: the attempt is recorded; the next delivery is not sent, or its wake-up is not published. */
  'attempt-recorded',
  /** relay, in workers and dispatchers: wake-ups are claimed; none is published. */
  'wakeups-claimed',
] as const;

export type FaultPointName = (typeof faultPointNames)[number];

export interface FaultPoint {
  name: FaultPointName;
  /** The process is killed when it reaches the point for the n-th time. */
  passage: number;
}

/** Parses `name` or `name:n`. Returns undefined for any other text. */
export function parseFaultPoint(text: string): FaultPoint | undefined {
  const [, given, passage = '1'] = /^([a-z-]+)(?::([1-9]\d{0,8}))?$/.exec(text) ?? [];
  const name = faultPointNames.find((known) => known === given);
  return name === undefined ? undefined : { name, passage: Number(passage) };
}

let armed: FaultPoint | undefined;
let passages = 0;

export function armFaultPoint(point: FaultPoint | undefined): void {
  armed = point;
  passages = 0;
}

/** Kills the process if this fault point is armed and has been reached the configured number of times. */
export function passFaultPoint(name: FaultPointName): void {
  if (armed?.name !== name) return;
  passages += 1;
  if (passages === armed.passage) process.kill(process.pid, 'SIGKILL');
}
