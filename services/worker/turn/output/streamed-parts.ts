/**
 * The parts of an artifact that is written in pieces, as clients see them. Text that grows large is moved to files in
 * segments while it is streamed; at the end, one file replaces the segments of each text.
 */
import { isPlainText } from '#shared/domain/events.ts';
import type { Part } from '#shared/domain/message.ts';
import { measure } from '#shared/domain/sizes.ts';
import { assertFits, getInlineLimit, type TurnFiles } from './files.ts';

/** A text of adjacent pieces. */
interface TextRun {
  mediaType: string | undefined;
  text: string;
  /** Files with the first `storedLength` characters. */
  files: Part[];
  storedLength: number;
  /** Size of the rest. */
  tailBytes: number;
}

type Run = TextRun | { part: Part; bytes: number };

export interface PartsChange {
  /** New parts, or all parts if they replace what clients have. */
  parts: Part[];
  replaces: boolean;
  /** Size of all parts. */
  bytes: number;
}

export class StreamedParts {
  readonly #output: string;
  readonly #files: Pick<TurnFiles, 'fit' | 'store'>;
  readonly #runs: Run[] = [];

  constructor(output: string, files: Pick<TurnFiles, 'fit' | 'store'>) {
    this.#output = output;
    this.#files = files;
  }

  /** All parts. */
  get all(): Part[] {
    return this.#runs.flatMap(toParts);
  }

  /** @throws {FatalError} if all parts would take more than `maxBytes` */
  async add(parts: readonly Part[], maxBytes: number): Promise<PartsChange> {
    const added: Part[] = [];
    for (const part of parts) {
      if (isPlainText(part)) {
        this.#addText(part);
        added.push(part);
      } else {
        const fitted = await this.#files.fit(this.#output, [part], maxBytes - this.#bytes());
        this.#runs.push(...fitted.map((small) => ({ part: small, bytes: measure(small) })));
        added.push(...fitted);
      }
    }
    let replaces = false;
    for (const run of this.#runs) {
      if ('part' in run || run.tailBytes <= getInlineLimit(maxBytes - this.#bytes() + run.tailBytes))
        continue;
      replaces = (await this.#storeTail(run)) || replaces;
    }
    return this.#toChange(added, replaces, maxBytes);
  }

  /** Joins the files of each text. */
  async finish(maxBytes: number): Promise<PartsChange> {
    let replaces = false;
    for (const run of this.#runs) {
      if ('part' in run || run.files.length === 0 || (run.files.length === 1 && run.tailBytes === 0))
        continue;
      run.files = [];
      run.storedLength = 0;
      replaces = (await this.#storeTail(run)) || replaces;
    }
    return this.#toChange([], replaces, maxBytes);
  }

  #addText(part: Part & { text: string }): void {
    const { text, mediaType } = part;
    const tailBytes = Buffer.byteLength(text);
    const last = this.#runs.at(-1);
    if (last !== undefined && 'text' in last && last.mediaType === mediaType) {
      last.text += text;
      last.tailBytes += tailBytes;
    } else if (last === undefined || text !== '') {
      this.#runs.push({ mediaType, text, files: [], storedLength: 0, tailBytes });
    }
  }

  async #storeTail(run: TextRun): Promise<boolean> {
    const { store } = this.#files;
    if (store === undefined) return false;
    run.files.push(await store(toTextPart(run, run.text.slice(run.storedLength))));
    run.storedLength = run.text.length;
    run.tailBytes = 0;
    return true;
  }

  #toChange(added: Part[], replaces: boolean, maxBytes: number): PartsChange {
    const bytes = this.#bytes();
    assertFits(this.#output, bytes, maxBytes, this.#files.store);
    return { parts: replaces ? this.all : added, replaces, bytes };
  }

  #bytes(): number {
    return this.#runs.reduce(
      (sum, run) => sum + ('part' in run ? run.bytes : measure(run.files) + run.tailBytes),
      0,
    );
  }
}

function toParts(run: Run): Part[] {
  if ('part' in run) return [run.part];
  const tail = run.text.slice(run.storedLength);
  return tail === '' && run.files.length > 0 ? run.files : [...run.files, toTextPart(run, tail)];
}

function toTextPart({ mediaType }: TextRun, text: string): Part {
  return { text, ...(mediaType !== undefined && { mediaType }) };
}
