/** Tools that search the documentation of the installed version, and read a page of it. */
import { createAnswer } from '../answer.ts';
import { ToolError } from '../errors.ts';
import { count, defineTool, objects, reads, text } from '../tool.ts';
import { findPage, listPages } from './find-page.ts';
import { readDocs, type Page } from './pages.ts';
import { searchPages } from './search.ts';

const maxPageChars = 12_000;

export const searchDocs = defineTool({
  name: 'ops_search_docs',
  title: 'Search the documentation',
  description:
    'Searches the documentation of the installed version of Longhaul for sections that have words of the query, those with most of them first. ops_read_doc returns a page.',
  effect: reads,
  args: {
    query: { type: 'string', description: 'One or a few words, such as callback timeout.', isRequired: true },
    limit: { type: 'integer', description: 'The most sections. Default: 8.', min: 1, max: 30 },
  },
  output: { version: text, sections: objects },
  run: async ({ query, limit = 8 }) => {
    const { version, pages } = readDocs();
    const sections = searchPages(pages, query, limit);
    const head =
      sections.length === 0
        ? [
            `No section of version ${version} has a word of "${query}": use other words. Pages:`,
            listPages(pages),
          ]
        : [`Version ${version}:`];
    const lines = sections.map(({ page, heading, excerpt }) => `\n${page}, "${heading}":\n${excerpt}`);
    return createAnswer({ version, sections: sections.map((section) => ({ ...section })) }, [
      ...head,
      ...lines,
    ]);
  },
});

export const readDoc = defineTool({
  name: 'ops_read_doc',
  title: 'Read a page of the documentation',
  description: `Returns a page of the documentation of the installed version of Longhaul as Markdown, or one section of it, at most ${maxPageChars} characters at once.`,
  effect: reads,
  args: {
    page: {
      type: 'string',
      description:
        'The page, such as docs/develop/waits.md, or waits if no other page has this name. docs/README.md lists them.',
      isRequired: true,
    },
    section: { type: 'string', description: 'Only the section with this heading.' },
    offset: { type: 'integer', description: 'The first character. Default: 0.', min: 0 },
  },
  output: { version: text, page: text, text, totalChars: count, nextOffset: count },
  run: async ({ page: name, section, offset = 0 }) => {
    const { version, pages } = readDocs();
    const page = findPage(pages, name);
    const found = section === undefined ? page : findSection(page, section);
    const part = found.text.slice(offset, offset + maxPageChars);
    const nextOffset = offset + part.length;
    const hasMore = nextOffset < found.text.length;
    const more = hasMore ? [`[continue with offset ${nextOffset} of ${found.text.length}]`] : [];
    const data = { version, page: page.file, text: part, totalChars: found.text.length };
    return createAnswer({ ...data, ...(hasMore && { nextOffset }) }, [part, ...more]);
  },
});

function findSection({ file, sections }: Page, heading: string): { text: string } {
  const found = sections.find((section) => section.heading.toLowerCase() === heading.toLowerCase());
  if (found !== undefined) return found;
  const known = sections.map((section) => section.heading).join(', ');
  throw new ToolError(`${file} has no section "${heading}": use one of ${known}`);
}
