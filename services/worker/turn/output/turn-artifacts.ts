/** The artifacts of a turn: those that it stores whole, and those that it writes in pieces. */
import type { NewEvent, NewStep } from '#shared/db/turns/write.ts';
import type { Artifact, Part } from '#shared/domain/message.ts';
import { measure } from '#shared/domain/sizes.ts';
import type { ArtifactStream } from '../../agent/agent.ts';
import type { TaskIds } from '../outcome.ts';
import { createArtifactBudget } from './artifact-budget.ts';
import {
  createArtifactEvent,
  createArtifactUpdate,
  nameArtifact,
  openArtifactStream,
  type MarkedArtifactStream,
} from './artifact-stream.ts';
import { checkArtifact, checkArtifactHead, checkPart } from './check.ts';
import type { TurnFiles } from './files.ts';

export interface TurnArtifactParts {
  ids: TaskIds;
  files: TurnFiles;
  /** Runs a check of the agent's output; a failure is remembered. */
  check: <A extends unknown[]>(checkOutput: (...args: A) => void, ...args: A) => void;
  /** Runs an operation of the turn. */
  run: <T>(operation: () => Promise<T>) => Promise<T>;
  store: (events: readonly NewEvent[], steps: readonly NewStep[]) => Promise<void>;
}

export interface TurnArtifacts {
  write(artifact: Artifact): Promise<void>;
  /** @param stored what an earlier run has written, and this one continues */
  open(head: Omit<Artifact, 'parts'>, stored?: readonly Part[]): MarkedArtifactStream;
  closeAll(): Promise<void>;
}

export function createTurnArtifacts({ ids, files, check, run, store }: TurnArtifactParts): TurnArtifacts {
  const budget = createArtifactBudget(() => files.readArtifactSizes());
  const open = new Set<ArtifactStream>();
  return {
    write: async (artifact) => {
      check(checkArtifact, artifact);
      const { parts: content, ...head } = artifact;
      const headBytes = measure(head);
      const write = async (maxBytes: number): Promise<number> => {
        const parts = await files.fit(nameArtifact(artifact), content, maxBytes - headBytes);
        const whole = { ...artifact, parts };
        const update = createArtifactUpdate(ids, whole, { append: false, lastChunk: true });
        await store([createArtifactEvent(update, whole)], []);
        return measure(whole);
      };
      await run(() => budget.spend(artifact.artifactId, write));
    },
    open: (head, stored) => {
      check(checkArtifactHead, head);
      const target = {
        ...ids,
        files,
        budget,
        write: (event: NewEvent, mark: NewStep | undefined) =>
          run(() => store([event], mark === undefined ? [] : [mark])),
      };
      const opened = openArtifactStream(target, head, stored);
      const stream: MarkedArtifactStream = {
        write: (part, mark) => {
          check(checkPart, 'part', part);
          opened.write(part, mark);
        },
        flush: () => opened.flush(),
        leave: async () => {
          open.delete(stream);
          await opened.leave();
        },
        close: async () => {
          open.delete(stream);
          await opened.close();
        },
      };
      open.add(stream);
      return stream;
    },
    closeAll: async () => {
      for (const stream of open) await stream.close();
    },
  };
}
