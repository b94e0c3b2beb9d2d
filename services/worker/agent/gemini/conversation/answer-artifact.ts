/**
 * Writes the artifact that contains the answer of a turn: `answer` for the first turn of a task, then
 * `answer-2`, `answer-3` … A turn that resumes an interrupted one writes to that turn's artifact. The id is
 * the same each time the turn runs, so that a new run replaces what an interrupted run streamed.
 *
 * If the model may call functions, the first 80 characters of a reply are buffered, because a sentence before
 * a call is not an answer. Longer text is streamed and replaced by the text that follows the call.
 */
import type { JsonObject, Part } from '#shared/domain/message.ts';
import type { ArtifactStream, Turn } from '../../agent.ts';

const bufferedChars = 80;

export class AnswerArtifact {
  readonly #turn: Pick<Turn, 'artifact' | 'openArtifact'>;
  readonly header: { readonly artifactId: string; readonly name: string };
  /** How many characters of a reply are held back. */
  readonly bufferedChars: number;
  #buffer = '';
  #stream: ArtifactStream | undefined;

  /**
   * @param options.turnNumber the turn in which the answer started
   * @param options.mayCall whether the model may call functions
   */
  constructor(
    turn: Pick<Turn, 'artifact' | 'openArtifact'>,
    { turnNumber, mayCall }: { turnNumber: number; mayCall: boolean },
  ) {
    this.#turn = turn;
    this.header = { artifactId: turnNumber === 1 ? 'answer' : `answer-${turnNumber}`, name: 'Answer' };
    this.bufferedChars = mayCall ? bufferedChars : 0;
  }

  /** Streams text. The first text of each reply replaces the content of the artifact. */
  write(text: string): void {
    this.#buffer += text;
    if (this.#stream === undefined && this.#buffer.length <= this.bufferedChars) return;
    this.#flush();
  }

  /**
   * Ends a reply.
   *
   * @param flush writes the buffered text too, instead of dropping it
   * @returns whether any text of the reply was streamed
   */
  async end(flush = false): Promise<boolean> {
    if (flush && this.#buffer !== '') this.#flush();
    this.#buffer = '';
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.close();
    return stream !== undefined;
  }

  async replace(parts: Part[], metadata: JsonObject = {}): Promise<void> {
    await this.#turn.artifact({
      ...this.header,
      parts,
      ...(Object.keys(metadata).length > 0 && { metadata }),
    });
  }

  #flush(): void {
    this.#stream ??= this.#turn.openArtifact(this.header);
    this.#stream.write({ text: this.#buffer });
    this.#buffer = '';
  }
}
