/**
 * The artifact in which a turn answers: `answer`, and `answer-2`, `answer-3` … for later turns of the task. The id is
 * the same whenever the turn runs, so that a turn that runs again replaces what an interrupted run had streamed.
 */
import type { JsonObject, Part } from '#shared/domain/message.ts';
import type { ArtifactStream, Turn } from '../agent.ts';

export class Answer {
  readonly #turn: Pick<Turn, 'artifact' | 'openArtifact'>;
  readonly #about: { artifactId: string; name: string };
  #stream: ArtifactStream | undefined;

  constructor(turn: Pick<Turn, 'artifact' | 'openArtifact' | 'number'>) {
    this.#turn = turn;
    this.#about = { artifactId: turn.number === 1 ? 'answer' : `answer-${turn.number}`, name: 'Answer' };
  }

  /** The first text after `end`, or of all, replaces what there was. */
  write(text: string): void {
    this.#stream ??= this.#turn.openArtifact(this.#about);
    this.#stream.write({ text });
  }

  async end(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.close();
  }

  async replace(parts: Part[], metadata: JsonObject = {}): Promise<void> {
    await this.#turn.artifact({
      ...this.#about,
      parts,
      ...(Object.keys(metadata).length > 0 && { metadata }),
    });
  }
}
