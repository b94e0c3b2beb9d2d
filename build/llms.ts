/**
 * `llms.txt` (https://llmstxt.org) and `llms-full.txt` of the package, in the order of docs/README.md: a list of the pages
 * with a line about each, and all pages as one text.
 */
import { listLinks, mapLinks, resolveLink } from './links.ts';

interface Page {
  title: string;
  /** Relative to the root of the package. */
  file: string;
  note: string;
}

export interface Section {
  title: string;
  pages: Page[];
}

/** Sections that a reader with little room leaves out: the convention names them "Optional". */
const optional = new Set(['Evidence', 'For contributors']);
const index = 'docs/README.md';

/**
 * Reads the sections of docs/README.md. Files that the package does not have are left out.
 *
 * @param read returns the text of a file of the package; undefined if it has none
 */
export function readSections(read: (file: string) => string | undefined): Section[] {
  const [intro = '', ...rest] = (read(index) ?? '').split(/^\*\*(.+)\*\*$/m);
  const texts: [title: string, text: string][] = [['Start', intro]];
  for (let at = 0; at < rest.length; at += 2) texts.push([rest[at] ?? '', rest[at + 1] ?? '']);
  const found = texts.map(([title, text]) => ({
    title,
    pages: text.split(/^- /m).flatMap((item) => readItem(item.replaceAll(/\s+/g, ' ').trim(), read)),
  }));
  const pages = found.filter(({ title }) => optional.has(title)).flatMap((section) => section.pages);
  return [...found.filter(({ title }) => !optional.has(title)), { title: 'Optional', pages }];
}

function readItem(item: string, read: (file: string) => string | undefined): Page[] {
  const [, note = ''] = /^\[[^\]]*\]\([^)]*\): (.*)$/.exec(item) ?? [];
  return listLinks(item).flatMap(({ text, target }, position) => {
    const file = resolveLink(index, target);
    const content = file === undefined ? undefined : read(file);
    if (file === undefined || content === undefined) return [];
    if (position === 0 && note !== '')
      return [{ title: text, file, note: mapLinks(note, (link) => link.text) }];
    return [{ title: /^# (.*)$/m.exec(content)?.[1] ?? text, file, note: '' }];
  });
}

const createHeader = (summary: string): string => `# Longhaul

> ${summary}

Paths are relative to the folder of this file, which is \`node_modules/longhaul\` in a project. The pages describe the version in
its \`package.json\`.
`;

export function createIndex(summary: string, sections: readonly Section[]): string {
  const lists = sections.map(({ title, pages }) => {
    const lines = pages.map((page) => `- [${page.title}](${page.file})${page.note && `: ${page.note}`}`);
    return `\n## ${title}\n\n${lines.join('\n')}\n`;
  });
  return createHeader(summary) + lists.join('');
}

/** Each page starts with a line that names its file. Links lead to the files of the pages. */
export function createFullText(
  summary: string,
  sections: readonly Section[],
  read: (file: string) => string | undefined,
): string {
  const pages = sections.flatMap((section) => section.pages);
  const texts = pages.map(({ file }) => {
    const text = mapLinks(read(file) ?? '', (link) => {
      const target = resolveLink(file, link.target);
      if (target === undefined) return undefined;
      const anchor = link.target.includes('#') ? link.target.slice(link.target.indexOf('#')) : '';
      return `${link.isImage ? '!' : ''}[${link.text}](${target}${anchor})`;
    });
    return `\n---\n\nFile: ${file}\n\n${text.trim()}\n`;
  });
  return createHeader(summary) + texts.join('');
}
