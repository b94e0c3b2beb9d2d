/** A task as clients see it, in the JSON form of A2A 1.0 (section 4.1.1). */
import type { TaskStatus } from '#shared/domain/events.ts';
import type { Artifact, JsonObject, Message } from '#shared/domain/message.ts';

export interface Task {
  id: string;
  contextId: string;
  status: TaskStatus;
  artifacts?: Artifact[];
  history?: Message[];
  metadata?: JsonObject;
}
