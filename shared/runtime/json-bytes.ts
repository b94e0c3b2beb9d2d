/**
 * The JSON of large values as bytes in UTF-8, written in short pieces. A text of megabytes as one string, and once more for each
 * step that handles it, is a large object of V8. After a few of them V8 collects the whole heap, which blocks the event
 * loop. The pieces are collected with the young objects.
 */

/** JSON as text, or as its bytes in UTF-8. PostgreSQL accepts both as a parameter of the type `json`. */
export type JsonText = string | Buffer;

/** Characters of a piece. Escaped, it may be six times as long. */
const pieceChars = 16 * 1024;

/** Items of an array that are written at once. */
const itemsAtOnce = 32;

/** A container whose members are being written one after the other. */
interface Frame {
  container: Readonly<Record<string | number, unknown>>;
  /** Undefined: an array. */
  names: readonly string[] | undefined;
  length: number;
  next: number;
}

/**
 * Yields the texts that together are the JSON of a value, as `JSON.stringify` writes it. The work is in proportion to the value,
 * however deep it is nested.
 */
export function* toJsonPieces(value: unknown): Generator<string, void, undefined> {
  const large = new Set<unknown>();
  findLarge(value, large);
  // The first frame is not a part of the JSON: it holds the value.
  const frames: Frame[] = [{ container: { 0: value }, names: undefined, length: 1, next: 0 }];
  let piece = '';
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const { container, names, length, next } = frame;
    const isInner = frames.length > 1;
    if (next === length) {
      frames.pop();
      if (isInner) piece += names === undefined ? ']' : '}';
    } else {
      const name = names?.[next] ?? next;
      const member = container[name];
      if (next > 0) piece += ',';
      if (names !== undefined) piece += `${JSON.stringify(name)}:`;
      frame.next += 1;
      if (typeof member === 'string' && member.length > pieceChars) {
        yield `${piece}"`;
        for (const text of splitText(member, pieceChars)) yield JSON.stringify(text).slice(1, -1);
        piece = '"';
      } else if (large.has(member)) {
        const inner = toFrame(member as Frame['container']);
        piece += inner.names === undefined ? '[' : '{';
        frames.push(inner);
      } else if (Array.isArray(container)) {
        const end = Math.min(length, next + itemsAtOnce);
        while (frame.next < end && !isLong(container[frame.next], large)) frame.next += 1;
        // Undefined has no JSON of its own, but is null in an array.
        piece += JSON.stringify(container.slice(next, frame.next)).slice(1, -1);
      } else {
        piece += JSON.stringify(member) ?? 'null';
      }
    }
    if (piece.length < pieceChars) continue;
    yield piece;
    piece = '';
  }
  if (piece !== '') yield piece;
}

function toFrame(container: Frame['container']): Frame {
  if (Array.isArray(container)) return { container, names: undefined, length: container.length, next: 0 };
  const names = Object.keys(container).filter((name) => container[name] !== undefined);
  return { container, names, length: names.length, next: 0 };
}

function isLong(value: unknown, large: ReadonlySet<unknown>): boolean {
  return typeof value === 'string' ? value.length > pieceChars : large.has(value);
}

/** Adds the containers whose JSON may have more characters than a piece. @returns about as many as the value has */
function findLarge(value: unknown, large: Set<unknown>): number {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 8;
  let chars = 2;
  if (Array.isArray(value)) {
    for (const item of value) chars += 1 + findLarge(item, large);
  } else {
    // Building an array of the members of each object would cost several times as much.
    for (const name in value) chars += name.length + 4 + findLarge(value[name as keyof typeof value], large);
  }
  if (chars > pieceChars) large.add(value);
  return chars;
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
