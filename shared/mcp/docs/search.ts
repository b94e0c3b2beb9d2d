/** Finds the sections of the documentation that have all words of a query, those with most of them first. */
import type { Page, Section } from './pages.ts';

export interface Found {
  page: string;
  heading: string;
  excerpt: string;
}

const excerptChars = 300;
const headingWeight = 8;
/** A word that a section repeats counts so often. */
const maxCounted = 5;

export function searchPages(pages: readonly Page[], query: string, limit: number): Found[] {
  const words = [
    ...new Set(
      query
        .toLowerCase()
        .split(/[^\p{L}\p{N}_.:-]+/u)
        .filter(Boolean),
    ),
  ];
  if (words.length === 0) return [];
  const rated = pages.flatMap((page) =>
    page.sections.flatMap((section) => {
      const rating = rate(page, section, words);
      return rating === 0 ? [] : [{ page, section, rating }];
    }),
  );
  return rated
    .sort((first, second) => second.rating - first.rating)
    .slice(0, limit)
    .map(({ page, section }) => ({
      page: page.file,
      heading: section.heading,
      excerpt: createExcerpt(section, words),
    }));
}

/** Returns 0 if a word is missing. */
function rate(page: Page, { heading, text }: Section, words: readonly string[]): number {
  const [body, head] = [text.toLowerCase(), `${page.title} ${heading}`.toLowerCase()];
  let rating = 0;
  for (const word of words) {
    const count = body.split(word, maxCounted + 1).length - 1;
    const inHead = head.includes(word);
    if (count === 0 && !inHead) return 0;
    rating += count + (inHead ? headingWeight : 0);
  }
  return rating;
}

/** The text around the first line that has a word. */
function createExcerpt({ text }: Section, words: readonly string[]): string {
  const body = text.replace(/^#{1,6} .*\n*/, '');
  const places = words.map((word) => body.toLowerCase().indexOf(word)).filter((place) => place >= 0);
  const start = Math.max(0, body.lastIndexOf('\n', Math.min(...places, body.length)) + 1);
  return body.slice(start, start + excerptChars).trim();
}
