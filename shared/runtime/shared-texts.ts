/**
 * Parses JSON without copying its large texts. They become slices of the JSON, which V8 keeps in memory as long as one of
 * them is used.
 */
import { randomUUID } from 'node:crypto';
import { findStringEnd } from './json-text.ts';

/** Shorter texts are copied, so that they do not keep all of the JSON in memory. */
const minChars = 64 * 1024;
/** JSON with more strings is parsed as usual once so many were passed: looking for large ones would take too long. */
const maxStrings = 10_000;
/** How many values are searched for the place of a large text. */
const maxSearched = 1_000;

/** Stands for a large text while the rest is parsed. No content can contain it. */
const mark = `text ${randomUUID()} `;

/** @param json valid JSON, such as the text of a JSON column */
export function parseWithSharedTexts(json: string): unknown {
  if (json.length <= minChars) return JSON.parse(json);
  const texts: string[] = [];
  let rest = '';
  let copiedTo = 0;
  let start = json.indexOf('"');
  for (let count = 0; start !== -1 && count < maxStrings; count += 1) {
    const end = findStringEnd(json, start);
    if (end === -1) break;
    const text = end - start > minChars ? json.slice(start + 1, end) : '\\';
    // A text with escaped characters is not a part of the JSON.
    if (!text.includes('\\')) {
      rest += `${json.slice(copiedTo, start)}"${mark}${texts.length}"`;
      copiedTo = end + 1;
      texts.push(text);
    }
    start = json.indexOf('"', end + 1);
  }
  if (texts.length === 0) return JSON.parse(json);
  const holder = { value: JSON.parse(rest + json.slice(copiedTo)) as unknown };
  return restore(holder, texts) ? holder.value : (JSON.parse(json) as unknown);
}

type Container = Record<string | number, unknown>;

/** Replaces the marks by their texts, level by level. Returns false if it has not found all of them. */
function restore(holder: object, texts: readonly string[]): boolean {
  const places = new Map(texts.map((text, index) => [`${mark}${index}`, text]));
  const containers = [holder as Container];
  let searched = 0;
  // The loop includes what it appends.
  for (const container of containers) {
    for (const key of Array.isArray(container) ? container.keys() : Object.keys(container)) {
      const value = container[key];
      const text = typeof value === 'string' ? places.get(value) : undefined;
      if (text !== undefined) {
        container[key] = text;
        places.delete(value as string);
      } else if (typeof value === 'object' && value !== null) {
        containers.push(value as Container);
      }
      searched += 1;
      if (places.size === 0 || searched > maxSearched) return places.size === 0;
    }
  }
  return false;
}
