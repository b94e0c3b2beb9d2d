/** The documentation of the installed version: the Markdown of the package, or of this repository. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A page by its sections, from one heading to the next. */
export interface Page {
  /** Relative to the root of the package: `docs/develop/waits.md`. */
  file: string;
  title: string;
  text: string;
  sections: readonly Section[];
}

export interface Section {
  heading: string;
  text: string;
}

export interface Docs {
  version: string;
  pages: readonly Page[];
}

let read: Docs | undefined;

/** Whether this installation has the documentation: images of single services do not. */
export function hasDocs(): boolean {
  return existsSync(fileURLToPath(getRoot('docs/README.md')));
}

/** Reads all pages, once. */
export function readDocs(): Docs {
  if (read !== undefined) return read;
  const root = fileURLToPath(getRoot('./'));
  const { version } = JSON.parse(readFileSync(getRoot('package.json'), 'utf8')) as { version: string };
  const files = ['README.md', 'CHANGELOG.md', ...globSync('docs/**/*.md', { cwd: root }).toSorted()];
  read = {
    version,
    pages: files.map((file) => toPage(file.replaceAll('\\', '/'), readFileSync(getRoot(file), 'utf8'))),
  };
  return read;
}

function getRoot(file: string): URL {
  return new URL(file, import.meta.resolve('longhaul/package.json'));
}

function toPage(file: string, text: string): Page {
  const sections: { heading: string; lines: string[] }[] = [];
  let isCode = false;
  for (const line of text.split('\n')) {
    if (line.startsWith('```')) isCode = !isCode;
    const heading = isCode ? undefined : /^#{1,6} (.+)$/.exec(line)?.[1];
    if (heading !== undefined || sections.length === 0)
      sections.push({ heading: heading ?? file, lines: [] });
    sections.at(-1)?.lines.push(line);
  }
  return {
    file,
    title: sections[0]?.heading ?? file,
    text,
    sections: sections.map(({ heading, lines }) => ({ heading, text: lines.join('\n').trim() })),
  };
}
