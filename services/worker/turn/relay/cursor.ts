/**
 * How far the content of another agent's artifact is stored in ours. Two contents are compared by a hash of what is stored,
 * so that it is continued if the other one starts with it, and replaced otherwise. Pure.
 */
import { createHash } from 'node:crypto';
import { toCanonicalJson } from '#shared/agent/canonical-hash.ts';
import { foldArtifacts, isPlainText } from '#shared/domain/events.ts';
import type { Part } from '#shared/domain/message.ts';
import type { ShownArtifact } from '#shared/domain/wait.ts';

type Position = Pick<ShownArtifact, 'parts' | 'chars' | 'hash'>;

export class ContentCursor {
  readonly #hash = createHash('sha256');
  #parts = 0;
  #chars = 0;
  /** The media type of the last part, if it is a text. */
  #text: { mediaType: string | undefined } | undefined;

  get position(): Position {
    return {
      parts: this.#parts,
      chars: this.#chars,
      hash: this.#hash.copy().digest('base64url').slice(0, 22),
    };
  }

  advance(part: Part): void {
    if (!isPlainText(part)) {
      this.#add(0, undefined, toCanonicalJson(part));
      return;
    }
    const { text, mediaType } = part;
    if (this.#text !== undefined && this.#text.mediaType === mediaType) {
      this.#chars += text.length;
      this.#hash.update(text);
    } else if (text !== '' || this.#parts === 0) {
      this.#add(text.length, { mediaType }, text);
    }
  }

  #add(chars: number, text: { mediaType: string | undefined } | undefined, content: string): void {
    this.#parts += 1;
    this.#chars = chars;
    this.#text = text;
    this.#hash.update(`\0${text === undefined ? 'part' : `text ${text.mediaType ?? ''}`}\0`);
    this.#hash.update(content);
  }
}

/**
 * Finds what follows the stored content.
 *
 * @param parts all parts, with adjacent texts joined
 * @returns undefined if the parts do not start with it
 */
export function findRest(
  parts: readonly Part[],
  stored: Position,
): { cursor: ContentCursor; rest: Part[] } | undefined {
  const cursor = new ContentCursor();
  const rest = parts.slice(stored.parts);
  const before = parts.slice(0, stored.parts);
  const last = before.at(-1);
  if (before.length < stored.parts) return undefined;
  if (last !== undefined && isPlainText(last)) {
    before[before.length - 1] = { ...last, text: last.text.slice(0, stored.chars) };
    const text = last.text.slice(stored.chars);
    if (text !== '') rest.unshift({ ...last, text });
  }
  for (const part of before) cursor.advance(part);
  return cursor.position.hash === stored.hash ? { cursor, rest } : undefined;
}

/** Joins adjacent texts, as clients do. */
export function joinTexts(parts: readonly Part[]): Part[] {
  const artifact = { artifactId: '', parts: [...parts] };
  return foldArtifacts([{ taskId: '', contextId: '', artifact }])[0]?.parts ?? [];
}
