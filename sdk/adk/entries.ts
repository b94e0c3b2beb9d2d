/** The changes of a session that a turn records next to its steps. All of it is JSON. */
import type { Json, JsonObject, Part } from '#shared/domain/message.ts';

export type SavedArtifact = {
  filename: string;
  version: number;
  /** The kind of content that was saved. */
  kind: 'text' | 'data' | 'file';
  part: Part;
  customMetadata?: JsonObject;
};

export type ArtifactEntry = SavedArtifact | { deleted: string };

/** A change of a session. `app`: the name of the root agent, or of an agent that was called as a tool. */
export type SessionEntry = { app: string; state: JsonObject } | { app: string; event: JsonObject };

export type SessionRecord = {
  /** The sessions at the start of the turn, without their events: later turns may not read earlier ones. */
  states: Record<string, JsonObject>;
  entries: SessionEntry[];
  artifacts: ArtifactEntry[];
};

export function toJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value ?? null)) as Json;
}
