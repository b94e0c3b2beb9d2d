/** Finds a page of the documentation by its path, or by its short name: `waits` is docs/develop/waits.md. */
import { findSimilar } from '../../domain/similar.ts';
import { ToolError } from '../errors.ts';
import type { Page } from './pages.ts';

const maxNear = 5;
/** Shorter texts are part of too many names. */
const minPartLength = 3;

/** @throws {ToolError} if no page has the name, or several have it */
export function findPage(pages: readonly Page[], name: string): Page {
  const isNamed = ({ file }: Page): boolean => [name, `docs/${name}`, `docs/${name}.md`].includes(file);
  const exact = pages.find(isNamed);
  if (exact !== undefined) return exact;
  const short = toShortName(name);
  const named = name.includes('/') ? [] : pages.filter(({ file }) => toShortName(file) === short);
  const [only, another] = named;
  if (another !== undefined)
    throw new ToolError(`Several pages are named ${name}: use one of ${listPages(named)}`);
  if (only !== undefined) return only;
  const near = findNear(pages, short);
  throw new ToolError(
    near.length === 0
      ? `Page ${name} does not exist: use one of ${listPages(pages)}`
      : `Page ${name} does not exist. The nearest names are ${listPages(near)}; docs/README.md lists all pages`,
  );
}

export function listPages(pages: readonly Page[]): string {
  return pages.map(({ file }) => file).join(', ');
}

/** Without folder and extension, in lower case. */
function toShortName(file: string): string {
  return file.replace(/^.*\//, '').replace(/\.md$/, '').toLowerCase();
}

/** The pages whose names have the name or are part of it, and one that is spelled similarly. */
function findNear(pages: readonly Page[], short: string): Page[] {
  const toLetters = (text: string): string => text.replaceAll(/[^a-z]/g, '');
  const names = pages.map(({ file }) => toShortName(file));
  const similar = findSimilar(toLetters(short), names.map(toLetters));
  const isNear = (name: string): boolean => {
    const [shorter = '', longer = ''] = [name, short].toSorted((a, b) => a.length - b.length);
    return toLetters(name) === similar || (shorter.length >= minPartLength && longer.includes(shorter));
  };
  return pages.filter((_page, index) => isNear(names[index] ?? '')).slice(0, maxNear);
}
