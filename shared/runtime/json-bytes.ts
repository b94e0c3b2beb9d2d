/**
 * The JSON of large values as bytes in UTF-8, written in short pieces. A text of megabytes as one string, and once more for each
 * step that handles it, lies in V8's space for large objects, and each few of them make it collect the whole heap: an
 * event loop stands still for that. The pieces are collected with the young objects.
 */
import { measure } from '../domain/sizes.ts';

/** JSON as text, or as its bytes in UTF-8. PostgreSQL accepts both as a parameter of the type `json`. */
export type Json = string | Buffer;

/** Characters of a piece. Escaped, it may be six times as long. */
const pieceChars = 16 * 1024;

/** Yields the texts that together are the JSON of a value, as `JSON.stringify` writes it. */
export function* toJsonPieces(value: unknown): Generator<string, void, undefined> {
  let piece = '';
  for (const text of toTexts(value)) {
    piece += text;
    if (piece.length < pieceChars) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

function* toTexts(value: unknown): Generator<string, void, undefined> {
  if (typeof value === 'string' && value.length > pieceChars) {
    yield '"';
    for (const piece of splitText(value, pieceChars)) yield JSON.stringify(piece).slice(1, -1);
    yield '"';
  } else if (typeof value !== 'object' || value === null || measure(value, pieceChars) < pieceChars) {
    // It has none for undefined, which an array may contain.
    yield JSON.stringify(value) ?? 'null';
  } else if (Array.isArray(value)) {
    let mark = '[';
    for (const item of value) {
      yield mark;
      yield* toTexts(item);
      mark = ',';
    }
    yield ']';
  } else {
    let mark = '{';
    for (const [name, member] of Object.entries(value)) {
      if (member === undefined) continue;
      yield `${mark}${JSON.stringify(name)}:`;
      yield* toTexts(member);
      mark = ',';
    }
    yield mark === '{' ? '{}' : '}';
  }
}

/** Splits text into pieces that do not end between the halves of a surrogate pair. */
export function* splitText(text: string, chars: number): Generator<string, void, undefined> {
  for (let start = 0; start < text.length;) {
    const last = text.charCodeAt(start + chars - 1);
    const end = start + chars + (last >= 0xd800 && last < 0xdc00 ? 1 : 0);
    yield text.slice(start, end);
    start = end;
  }
}

/** Bytes that grow by pieces of text. */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  /** @param expected the length that needs no larger memory later */
  constructor(expected: number) {
    this.#bytes = Buffer.allocUnsafeSlow(expected);
  }

  get length(): number {
    return this.#length;
  }

  add(text: string): void {
    const needed = this.#length + Buffer.byteLength(text);
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.ceil(1.5 * this.#bytes.length)));
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** Drops what follows the first bytes. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** Returns the bytes from `start` on, which the next call of `add` may move. */
  view(start = 0): Buffer {
    return this.#bytes.subarray(start, this.#length);
  }
}
