/**
 * Named places at which a process kills itself, so that a test can have it die exactly between two steps that must hold
 * together (`FAULT_POINT=name`, or `name:n` for the n-th passage). Without that variable a passage costs one comparison.
 *
 * The state is the process's, not an object's: what a fault point ends is the process.
 */
export const faultPointNames = [
  /** api: the message is stored, its wakeup is not rung. */
  'message-stored',
  /** worker: the lease is taken, nothing has been done with it. */
  'turn-claimed',
  /** worker: a step has run, and is not recorded. */
  'step-run',
  /** worker: a step is recorded, and its result is not used. */
  'step-recorded',
  /** worker: a piece of a streamed artifact is stored, and more is to come. */
  'piece-stored',
  /** worker: the end of the turn is stored, and no wakeup of it is rung. */
  'turn-ended',
  /** dispatcher: the delivery is claimed, and nothing is sent. */
  'delivery-claimed',
  /** dispatcher: the receiver has answered, and the attempt is not recorded. */
  'webhook-posted',
  /** dispatcher: the attempt is recorded; the next delivery is claimed and not sent, or not rung for. */
  'attempt-recorded',
  /** relay, in workers and dispatchers: wakeups are claimed, and none is rung. */
  'wakeups-claimed',
] as const;

export type FaultPointName = (typeof faultPointNames)[number];

export interface FaultPoint {
  name: FaultPointName;
  /** On which passage, from 1. */
  passage: number;
}

/** Reads `name` or `name:n`; undefined where the text is neither. */
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

/** Where the process may be told to die. */
export function passFaultPoint(name: FaultPointName): void {
  if (armed?.name !== name) return;
  passages += 1;
  if (passages === armed.passage) process.kill(process.pid, 'SIGKILL');
}
