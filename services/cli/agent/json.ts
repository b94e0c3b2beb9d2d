/** The JSON of A2A 1.0 that commands read. Other agents may omit what the specification requires. */
import type { ArtifactUpdate, StatusUpdate, TaskStatus } from '#shared/domain/events.ts';
import type { Artifact, JsonObject, Message } from '#shared/domain/message.ts';

export type MessageJson = Message;

export interface TaskJson {
  id: string;
  contextId?: string;
  status?: Partial<TaskStatus>;
  artifacts?: Artifact[];
  history?: Message[];
  metadata?: JsonObject;
}

/** One of the fields is set. */
export interface StreamEventJson {
  task?: TaskJson;
  message?: Message;
  statusUpdate?: StatusUpdate;
  artifactUpdate?: ArtifactUpdate;
}
