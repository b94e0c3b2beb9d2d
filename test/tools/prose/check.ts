/** Checks the text of one file against the patterns and the limits of test titles. */
import { extractPassages, type Passage } from './extract.ts';
import { patterns } from './patterns.ts';

export interface ProseFinding {
  line: number;
  name: string;
  phrase: string;
  advice: string;
}

/** A line with this word, or the line after it, is left alone: `// prose-ok: quotes the specification`. */
const allowance = 'prose-ok';
const longestTitle = 80;

export function checkProse(file: string, source: string): ProseFinding[] {
  const lines = source.split('\n');
  const isAllowed = (line: number): boolean =>
    [lines[line - 1], lines[line - 2]].some((text) => text?.includes(allowance));
  return extractPassages(file, source)
    .flatMap((passage) => [...findPhrases(passage), ...checkTitle(passage)])
    .filter(({ line }) => !isAllowed(line))
    .sort((a, b) => a.line - b.line);
}

function findPhrases({ text, lineAt }: Passage): ProseFinding[] {
  return patterns.flatMap(({ name, pattern, advice }) =>
    [...text.matchAll(pattern)].map((match) => ({
      line: lineAt(match.index),
      name,
      phrase: match[0].trim(),
      advice,
    })),
  );
}

function checkTitle({ text, isTitle, lineAt }: Passage): ProseFinding[] {
  if (!isTitle) return [];
  // Cited requirements do not count.
  const title = text.replaceAll(/\s*\[[A-Z][A-Z0-9, -]+\]/g, '');
  const finding = (advice: string): ProseFinding => ({
    line: lineAt(0),
    name: 'title',
    phrase: `${title.slice(0, 40)}…`,
    advice,
  });
  return [
    ...(title.length > longestTitle ? [finding(`shorten it to at most ${longestTitle} characters`)] : []),
    ...(title.includes(';') ? [finding('state one fact, without a semicolon')] : []),
  ];
}
