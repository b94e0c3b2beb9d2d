/** Finds the sections of the documentation that have words of a query: those with most of its words first. */
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
      return rating.words === 0 ? [] : [{ page, section, ...rating }];
    }),
  );
  return rated
    .sort((first, second) => second.words - first.words || second.weight - first.weight)
    .slice(0, limit)
    .map(({ page, section }) => ({
      page: page.file,
      heading: section.heading,
      excerpt: createExcerpt(section, words),
    }));
}

interface Rating {
  /** How many different words the section has. */
  words: number;
  /** Decides between sections with as many words. */
  weight: number;
}

function rate(page: Page, { heading, text }: Section, words: readonly string[]): Rating {
  const [body, head] = [text.toLowerCase(), `${page.title} ${heading}`.toLowerCase()];
  const rating = { words: 0, weight: 0 };
  for (const word of words) {
    const count = body.split(word, maxCounted + 1).length - 1;
    const inHead = head.includes(word);
    if (count > 0 || inHead) rating.words += 1;
    rating.weight += count + (inHead ? headingWeight : 0);
  }
  return rating;
}

/** The text from the first of the lines that have most of the words. */
function createExcerpt({ text }: Section, words: readonly string[]): string {
  const body = text.replace(/^#{1,6} .*\n*/, '');
  let best = { start: 0, words: 0 };
  let start = 0;
  for (const each of body.toLowerCase().split('\n')) {
    const found = words.filter((word) => each.includes(word)).length;
    if (found > best.words) best = { start, words: found };
    start += each.length + 1;
  }
  return body.slice(best.start, best.start + excerptChars).trim();
}
