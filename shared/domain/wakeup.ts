/** Wake-ups (invariant 2): hints that there is work to do. They carry no state. */

export interface TurnWakeup {
  id: string;
  kind: 'turn';
  taskId: string;
  turn: number;
  /** The owner of the task, so that a worker knows it before it claims the turn. */
  owner: string;
  /** The turn was taken from the queue of its owner, which may contain more. */
  fromQueue?: boolean;
  traceparent: string | null;
  /** The turn may not start earlier. Default: it may start now. */
  notBefore?: Date;
}

export interface DeliveryWakeup {
  id: string;
  kind: 'delivery';
  taskId: string;
  configId: string;
  dueAt: Date;
}

export type Wakeup = TurnWakeup | DeliveryWakeup;

/** Retries and deferred attempts of webhooks may be late by this share of their delay, so that several share a Cloud Task. */
export const maxLateness = 1 / 16;
