/**
 * Bounds all artifacts of a task together, and each single one, so that the task fits into one answer
 * (shared/domain/sizes.ts).
 */
import { maxArtifactsBytes, maxEventBytes } from '#shared/domain/sizes.ts';

export interface ArtifactBudget {
  /**
   * Runs `write` with the bytes that the artifact may take, and counts those that it resolves to. One `write` runs at
   * a time.
   */
  spend(artifactId: string, write: (maxBytes: number) => Promise<number>): Promise<void>;
}

/** @param readSizes reads the sizes of the artifacts that earlier runs and turns have stored, by id */
export function createArtifactBudget(readSizes: () => Promise<ReadonlyMap<string, number>>): ArtifactBudget {
  let sizes: Promise<Map<string, number>> | undefined;
  let last: Promise<unknown> = Promise.resolve();

  async function run(artifactId: string, write: (maxBytes: number) => Promise<number>): Promise<void> {
    const known = await (sizes ??= readSizes().then((stored) => new Map(stored)));
    let others = 0;
    for (const [id, bytes] of known) if (id !== artifactId) others += bytes;
    known.set(artifactId, await write(Math.min(maxEventBytes, maxArtifactsBytes - others)));
  }

  return {
    spend: (artifactId, write) => {
      const running = last.then(() => run(artifactId, write));
      last = running.catch(() => undefined);
      return running;
    },
  };
}
