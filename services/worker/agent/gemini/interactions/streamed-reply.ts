/**
 * Writes the stream of one reply to the artifact of the answer. One write stores text together with its last
 * event, so another worker continues after that event: no text is stored twice, and none is missing.
 *
 * If the model may call functions, the first characters are held back, as those of generateContent are
 * (conversation/answer-artifact.ts). They are read again after a crash.
 */
import type { StreamCursor } from '#shared/domain/wait.ts';
import type { CursorStream, ModelWait } from '../../model-wait.ts';
import type { AnswerArtifact } from '../conversation/answer-artifact.ts';
import type { StreamSink } from './follow.ts';

export class StreamedReply implements StreamSink {
  readonly #wait: ModelWait;
  readonly #stream: CursorStream;
  readonly #heldBackChars: number;
  #heldBack = '';
  /** The characters that were written to the artifact. */
  #chars: number;
  #after: string | undefined;

  private constructor(wait: ModelWait, stream: CursorStream, heldBackChars: number) {
    this.#wait = wait;
    this.#stream = stream;
    this.#chars = wait.cursor()?.chars ?? 0;
    this.#after = wait.cursor()?.event;
    this.#heldBackChars = heldBackChars;
  }

  static async open(wait: ModelWait, answer: AnswerArtifact): Promise<StreamedReply> {
    return new StreamedReply(wait, await wait.openArtifact(answer.header), answer.bufferedChars);
  }

  /** The event after which the stream is read. */
  get after(): string | undefined {
    return this.#after;
  }

  text(text: string, event: string): void {
    this.#after = event;
    this.#heldBack += text;
    if (this.#chars === 0 && this.#heldBack.length <= this.#heldBackChars) return;
    const written = this.#heldBack;
    this.#heldBack = '';
    this.#chars += written.length;
    this.#stream.write(written, { event, chars: this.#chars });
  }

  /** Summaries come before the text. Later ones are left out, because their cursor would overtake the text. */
  async summary(text: string, event: string): Promise<void> {
    this.#after = event;
    if (this.#chars === 0 && this.#heldBack === '') await this.#wait.progress(text, { event, chars: 0 });
  }

  /** Resolves when what was read is stored, except what is held back. */
  async flush(): Promise<void> {
    await this.#stream.flush();
  }

  /** Stores the rest, and marks the last chunk. */
  async close(): Promise<void> {
    await this.#stream.close();
  }
}

/** Whether all of a reply's text is in the artifact. */
export function isWhole(cursor: StreamCursor | undefined, text: string): boolean {
  return text !== '' && cursor?.chars === text.length;
}
