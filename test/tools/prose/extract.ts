/**
 * The running text of a file: comments, test titles and messages of TypeScript; comments and descriptions of YAML;
 * comments of shell scripts; Markdown without its code. Wrapped lines are joined, so that a phrase is found across a line
 * break; code in backticks is blanked out.
 */
import path from 'node:path';

export interface Passage {
  text: string;
  /** The line in the file, from 1, of each character of `text`. */
  lineAt: (offset: number) => number;
  /** A test title, which has limits of its own. */
  isTitle: boolean;
}

interface Line {
  number: number;
  text: string;
}

/** Quoted text with fewer words is a name or a value, not a sentence. */
const fewestWords = 4;

export function extractPassages(file: string, source: string): Passage[] {
  switch (path.extname(file)) {
    case '.ts':
    case '.tsx':
      return fromTypeScript(source);
    case '.md':
      return fromMarkdown(source);
    case '.yaml':
    case '.yml':
      return fromHashComments(source, /^\s*-? *(?:content|description|displayName|title|about|label): (.*)$/);
    case '.sh':
      return fromHashComments(source);
    default:
      return [];
  }
}

function createPassage(lines: readonly Line[], isTitle = false): Passage {
  const starts: { offset: number; number: number }[] = [];
  let text = '';
  for (const line of lines) {
    if (text !== '') text += ' ';
    starts.push({ offset: text.length, number: line.number });
    text += line.text.trim();
  }
  const blanked = text.replaceAll(/`[^`]*`/g, (code) => '·'.repeat(code.length));
  return {
    text: blanked,
    lineAt: (offset) => starts.findLast((start) => start.offset <= offset)?.number ?? 0,
    isTitle,
  };
}

/** Splits lines into passages at every line that has no text. */
function splitParagraphs(lines: readonly Line[]): Passage[] {
  const groups: Line[][] = [[]];
  for (const line of lines) {
    if (line.text.trim() === '') groups.push([]);
    else groups.at(-1)?.push(line);
  }
  return groups.filter((group) => group.length > 0).map((group) => createPassage(group));
}

function fromMarkdown(source: string): Passage[] {
  let fenced = false;
  const withoutComments = source.replaceAll(/<!--.*?-->/gs, (comment) => comment.replaceAll(/[^\n]/g, ' '));
  const lines = withoutComments.split('\n').map((text, index): Line => {
    const isFence = /^\s*```/.test(text);
    if (isFence) fenced = !fenced;
    // The address of a link is not prose.
    const prose = text.replaceAll(/\]\([^)]*\)|<https?:[^>]*>/g, ']');
    return { number: index + 1, text: fenced || isFence ? '' : prose };
  });
  // A list item, a table row and a heading are passages of their own.
  const separated = lines.flatMap((line) =>
    /^\s*(?:[-*|#]|\d+\.)/.test(line.text) ? [{ number: line.number, text: '' }, line] : [line],
  );
  return splitParagraphs(separated);
}

function fromHashComments(source: string, field?: RegExp): Passage[] {
  const lines = source.split('\n').flatMap((text, index): Line[] => {
    const comment = /(?:^|\s)#(?![!{]) ?(.*)$/.exec(text)?.[1] ?? '';
    const value = field?.exec(text)?.[1] ?? '';
    // A value is not a part of the comment on the line before it.
    const blank = { number: index + 1, text: '' };
    return value === '' ? [{ number: index + 1, text: comment }] : [blank, { ...blank, text: value }, blank];
  });
  return splitParagraphs(lines);
}

/** Comments and strings, found by one expression: whichever starts first hides what looks like the other inside it. */
const tokens = new RegExp(
  [
    String.raw`(?<block>/\*[\s\S]*?\*/)`,
    String.raw`(?<line>//[^\n]*)`,
    String.raw`(?<regex>(?<=[(,=:[!&|?{};\n]\s*|return\s+)/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/\w*)`,
    String.raw`(?<string>'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|` + '`(?:\\\\.|[^`\\\\])*`)',
  ].join('|'),
  'g',
);

function fromTypeScript(source: string): Passage[] {
  const passages: Passage[] = [];
  let pending: Line[] = [];
  const flush = (): void => {
    passages.push(...splitParagraphs(pending));
    pending = [];
  };
  let line = 1;
  let counted = 0;
  for (const match of source.matchAll(tokens)) {
    for (; counted < match.index; counted++) if (source[counted] === '\n') line++;
    const { block, line: comment, string } = match.groups ?? {};
    // Neighbouring line comments are one text.
    if (comment === undefined || (pending.at(-1)?.number ?? line) < line - 1) flush();
    if (block !== undefined) passages.push(...fromBlockComment(block, line));
    if (comment !== undefined) pending.push({ number: line, text: comment.slice(2) });
    if (string !== undefined) {
      const isTitle = /\b(?:test|describe|suite)(?:\.\w+)?\(\s*$/.test(source.slice(0, match.index));
      const text = string.slice(1, -1).replaceAll(/\$\{[^}]*\}/g, '·');
      if (isTitle || isProse(text)) passages.push(createPassage([{ number: line, text }], isTitle));
    }
  }
  flush();
  return passages;
}

function fromBlockComment(block: string, first: number): Passage[] {
  let fenced = false;
  const lines = block
    .slice(2, -2)
    .split('\n')
    .map((text, index): Line => {
      const bare = text.replace(/^\s*\*+ ?/, '');
      const isFence = /^\s*```/.test(bare);
      if (isFence) fenced = !fenced;
      // A tag starts a sentence of its own.
      const prose = bare.replace(/^@\w+(?: \{[^}]*\})?/, (tag) => ' '.repeat(tag.length));
      return { number: first + index, text: fenced || isFence ? '' : prose };
    });
  return splitParagraphs(lines);
}

/** Statements of SQL, templates of files and the like are not prose. */
function isProse(text: string): boolean {
  if (text.includes('\n') || text.split(' ').length < fewestWords) return false;
  return !/^\s*(?:select|insert|update|delete|with|create|alter|drop|grant|begin|from|where|and|or|on|set)\b/.test(
    text,
  );
}
