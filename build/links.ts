/** The links of Markdown pages, outside of code. */
import path from 'node:path';

export interface Link {
  text: string;
  target: string;
  isImage: boolean;
}

const linksAndCode = /^```[^]*?^```|`[^`\n]*`|(!?)\[((?:[^[\]`]|`[^`]*`)*)\]\(([^)\s]+)\)/gm;

/** Replaces each link by what `map` returns for it; undefined keeps it. */
export function mapLinks(text: string, map: (link: Link) => string | undefined): string {
  return text.replaceAll(linksAndCode, (all: string, mark?: string, label = '', target?: string) =>
    target === undefined ? all : (map({ text: label, target, isImage: mark === '!' }) ?? all),
  );
}

export function listLinks(text: string): Link[] {
  const links: Link[] = [];
  mapLinks(text, (link) => void links.push(link));
  return links;
}

/** @returns the file that a link of a page names, relative to the root; undefined for an absolute address */
export function resolveLink(page: string, target: string): string | undefined {
  if (/^[a-z][a-z+.-]*:/i.test(target)) return undefined;
  const [file = ''] = target.split('#');
  return file === '' ? page : path.posix.join(path.posix.dirname(page), file);
}

/** Links to files that the package does not have become their text, and pictures their description. */
export function removeLinks(page: string, text: string, isShipped: (file: string) => boolean): string {
  return mapLinks(text, (link) => {
    const file = resolveLink(page, link.target);
    return file === undefined || isShipped(file) ? undefined : link.text;
  });
}
