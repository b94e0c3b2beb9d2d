/**
 * The artifact that contains the answer of a turn: `answer` for the first turn of a task, then `answer-2`, `answer-3` …
 * The text of each streamed response replaces that of the one before. The artifact is complete before the response is
 * recorded, so a turn that runs again streams only what was not recorded.
 */
import type { ArtifactStream, Turn } from '#services/worker/agent/agent.ts';
import type { Part } from '#shared/domain/message.ts';
import type { CallOptions } from '../types.ts';

export interface TextStream {
  write(text: string): void;
  close(): Promise<void>;
}

const noText: TextStream = { write: () => undefined, close: async () => undefined };

export class StreamedAnswer {
  readonly #turn: Pick<Turn, 'artifact' | 'openArtifact' | 'number' | 'progress'>;
  /** The content of the artifact. */
  #text = '';

  constructor(turn: Pick<Turn, 'artifact' | 'openArtifact' | 'number' | 'progress'>) {
    this.#turn = turn;
  }

  get #header(): { artifactId: string; name: string } {
    const { number } = this.#turn;
    return { artifactId: number === 1 ? 'answer' : `answer-${number}`, name: 'Answer' };
  }

  /** Opens the artifact with the first text. JSON is not shown while it is incomplete. */
  open(options: CallOptions): TextStream {
    if (!isText(options)) return noText;
    let stream: ArtifactStream | undefined;
    return {
      write: (text) => {
        if (text === '') return;
        stream ??= this.#turn.openArtifact(this.#header);
        stream.write({ text });
      },
      close: async () => stream?.close(),
    };
  }

  /** Notes the text of a response that is recorded. */
  recorded(text: string, options: CallOptions): void {
    if (isText(options) && text !== '') this.#text = text;
  }

  /** Repeats text that calls of tools follow as progress, because the text of the next response replaces it. */
  async keepRemark(text: string, options: CallOptions): Promise<void> {
    if (isText(options) && text.trim() !== '') await this.#turn.progress(text);
  }

  /** Stores the answer, unless it was streamed. */
  async finish(parts: readonly Part[]): Promise<void> {
    const [only, ...others] = parts;
    const wasStreamed = others.length === 0 && only?.text !== undefined && only.text === this.#text;
    if (only === undefined || wasStreamed) return;
    await this.#turn.artifact({ ...this.#header, parts: [...parts] });
  }
}

function isText({ responseFormat }: CallOptions): boolean {
  return responseFormat === undefined || responseFormat.type === 'text';
}
