/** Wake-ups (invariant 2): hints that there is work to do. They carry no state. */

export interface TurnWakeup {
  id: string;
  kind: 'turn';
  taskId: string;
  turn: number;
  traceparent: string | null;
}

export interface DeliveryWakeup {
  id: string;
  kind: 'delivery';
  taskId: string;
  configId: string;
  dueAt: Date;
}

export type Wakeup = TurnWakeup | DeliveryWakeup;
