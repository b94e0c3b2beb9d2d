/** All writes of a task in memory, in order, and the state that follows from them. */
import type { RecordedStep } from '#shared/db/turns/turn-content.ts';
import type { NewEvent, NewStep } from '#shared/db/turns/write.ts';
import { foldArtifacts, type ArtifactUpdate, type EventPayload } from '#shared/domain/events.ts';
import { textOf, type Artifact, type Json } from '#shared/domain/message.ts';
import type { CallbackResult } from '#shared/domain/wait.ts';
import type { TestStep } from './types.ts';

export interface TurnWriteEntry {
  steps: readonly NewStep[];
  events: readonly NewEvent[];
  /** Milliseconds by the clock of the task. */
  at: number;
}

/** The end of a callback. */
interface WaitEnd {
  key: string;
  result: CallbackResult;
  at: number;
}

export interface OpenTestWait {
  key: string;
  name: string;
  kind: 'sleep' | 'callback' | 'children' | 'agent';
  /** The URL of a callback. */
  token: string | null;
  /** Milliseconds by the clock of the task. */
  dueAt: number;
}

interface Stored {
  step: NewStep;
  output: string | null;
  startedAt: number;
  dueAt: number;
  endedAt: number;
}

export type LogEntry = TurnWriteEntry | WaitEnd;

export function toKey({ name, occurrence }: Pick<NewStep, 'name' | 'occurrence'>): string {
  return `${name}#${occurrence + 1}`;
}

export class TurnLog {
  readonly entries: LogEntry[];

  constructor(entries: readonly LogEntry[] = []) {
    this.entries = [...entries];
  }

  /** The record of the turn, as a run at this time reads it. */
  getRecord(now: number): RecordedStep[] {
    return this.#read().map(({ step, output, startedAt, dueAt, endedAt }) => ({
      name: step.name,
      occurrence: step.occurrence,
      position: step.position,
      inputHash: step.inputHash,
      output: output === null ? null : (JSON.parse(output) as Json),
      finished: output !== null,
      wait:
        step.wait === undefined
          ? null
          : {
              wait: step.wait.wait,
              token: step.wait.token,
              dueInSeconds: (dueAt - now) / 1000,
              startedSecondsAgo: (now - startedAt) / 1000,
              endedSecondsAgo: Math.max(0, now - Math.min(endedAt, dueAt, now)) / 1000,
            },
    }));
  }

  /** In the order in which the agent reached them. */
  getSteps(now: number): TestStep[] {
    return this.#read()
      .toSorted((a, b) => a.step.position - b.step.position)
      .map(({ step, output, dueAt }) => ({
        key: toKey(step),
        name: step.name,
        result: output === null ? null : (JSON.parse(output) as Json),
        finished: output !== null || (step.wait?.wait.kind === 'sleep' && dueAt <= now),
      }));
  }

  /** The waits that have not ended, first due first. */
  getWaits(now: number): OpenTestWait[] {
    return this.#read()
      .flatMap(({ step, output, dueAt }) => {
        const { wait } = step;
        if (wait === undefined || output !== null || (wait.wait.kind === 'sleep' && dueAt <= now)) return [];
        const { kind } = wait.wait;
        // Only the Gemini agent has these waits.
        if (kind === 'model') return [];
        return [{ key: toKey(step), name: step.name, kind, token: wait.token, dueAt }];
      })
      .toSorted((a, b) => a.dueAt - b.dueAt);
  }

  get artifactUpdates(): ArtifactUpdate[] {
    return this.#payloads.flatMap((payload) => ('artifactUpdate' in payload ? [payload.artifactUpdate] : []));
  }

  getArtifacts(before: readonly Artifact[]): Artifact[] {
    return foldArtifacts(this.artifactUpdates, before);
  }

  get progress(): string[] {
    return this.#payloads.flatMap((payload) =>
      'statusUpdate' in payload ? [textOf(payload.statusUpdate.status.message?.parts ?? [])] : [],
    );
  }

  get #payloads(): EventPayload[] {
    return this.entries.flatMap((entry) =>
      'events' in entry ? entry.events.map(({ payload }) => JSON.parse(payload) as EventPayload) : [],
    );
  }

  #read(): Stored[] {
    const stored = new Map<string, Stored>();
    for (const entry of this.entries) {
      if ('result' in entry) {
        const step = stored.get(entry.key);
        if (step !== undefined)
          Object.assign(step, { output: JSON.stringify(entry.result), endedAt: entry.at });
        continue;
      }
      for (const step of entry.steps) {
        const known = stored.get(toKey(step));
        // The first result wins, as in the database.
        if (known === undefined) {
          const dueAt = entry.at + (step.wait?.dueInSeconds ?? 0) * 1000;
          stored.set(toKey(step), {
            step,
            output: step.output,
            startedAt: entry.at,
            dueAt,
            endedAt: entry.at,
          });
        } else if (known.output === null)
          Object.assign(known, { step, output: step.output, endedAt: entry.at });
      }
    }
    return [...stored.values()];
  }
}
