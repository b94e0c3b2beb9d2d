/**
 * The artifact in which a turn answers: `answer`, and `answer-2`, `answer-3` … for later turns of the task. A turn that
 * goes on where an earlier one waited for the user answers in that one's artifact. The id is the same whenever the turn
 * runs, so that a turn that runs again replaces what an interrupted run had streamed.
 *
 * The first words are held back where the model may call functions: a sentence before a call is no answer. More than
 * that is streamed all the same, and replaced by what follows.
 */
import type { JsonObject, Part } from '#shared/domain/message.ts';
import type { ArtifactStream, Turn } from '../../agent.ts';

const heldChars = 80;

export class Answer {
  readonly #turn: Pick<Turn, 'artifact' | 'openArtifact'>;
  readonly #about: { artifactId: string; name: string };
  readonly #hold: number;
  #held = '';
  #stream: ArtifactStream | undefined;

  /** @param from the number of the turn in which the answer was begun */
  constructor(
    turn: Pick<Turn, 'artifact' | 'openArtifact'>,
    { from, mayCall }: { from: number; mayCall: boolean },
  ) {
    this.#turn = turn;
    this.#about = { artifactId: from === 1 ? 'answer' : `answer-${from}`, name: 'Answer' };
    this.#hold = mayCall ? heldChars : 0;
  }

  /** The first text after `end`, or of all, replaces what there was. */
  write(text: string): void {
    this.#held += text;
    if (this.#stream === undefined && this.#held.length <= this.#hold) return;
    this.#stream ??= this.#turn.openArtifact(this.#about);
    this.#stream.write({ text: this.#held });
    this.#held = '';
  }

  /** Ends a reply; `keep`: what was held back goes out too. Returns whether the reply is out. */
  async end(keep = false): Promise<boolean> {
    if (keep && this.#held !== '') this.#stream ??= this.#turn.openArtifact(this.#about);
    if (keep && this.#held !== '') this.#stream?.write({ text: this.#held });
    this.#held = '';
    const stream = this.#stream;
    this.#stream = undefined;
    await stream?.close();
    return stream !== undefined;
  }

  async replace(parts: Part[], metadata: JsonObject = {}): Promise<void> {
    await this.#turn.artifact({
      ...this.#about,
      parts,
      ...(Object.keys(metadata).length > 0 && { metadata }),
    });
  }
}
