/**
 * Markdown of agents and users. Raw HTML is text, images become links, and what is left passes DOMPurify, whose policy is
 * the only one that the page's Content-Security-Policy lets write HTML. The parser is loaded when it is first needed.
 */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

/** HTML of the trusted type that the policy of DOMPurify makes. */
interface SafeHtml {
  toString(): string;
}

type Render = (text: string) => SafeHtml;

const allowedTags =
  'p br hr h1 h2 h3 h4 h5 h6 strong em s code pre blockquote ul ol li a table thead tbody tr th td'.split(
    ' ',
  );

let loading: Promise<Render> | undefined;
let loaded: Render | undefined;

async function load(): Promise<Render> {
  const [{ default: MarkdownIt }, { default: purify }] = await Promise.all([
    import('markdown-it'),
    import('dompurify'),
  ]);
  const parser = new MarkdownIt({ html: false, linkify: true, breaks: true });
  const { escapeHtml } = parser.utils;
  parser.renderer.rules['image'] = (tokens, index) => {
    const token = tokens[index];
    const source = escapeHtml(token?.attrGet('src') ?? '');
    return `<a href="${source}">${escapeHtml(token?.content || 'image')}</a>`;
  };
  purify.addHook('afterSanitizeAttributes', (node) => {
    if (node.tagName !== 'A') return;
    node.setAttribute('target', '_blank');
    node.setAttribute('rel', 'noopener noreferrer nofollow');
  });
  const options = {
    ALLOWED_TAGS: allowedTags,
    ALLOWED_ATTR: ['href', 'start'],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_TRUSTED_TYPE: true,
  };
  loaded = (text) => purify.sanitize(parser.render(text), options);
  return loaded;
}

export function Markdown({ text }: { text: string }): JSX.Element {
  const [render, setRender] = useState<Render | undefined>(() => loaded);
  useEffect(() => {
    if (render !== undefined) return;
    loading ??= load();
    void loading.then((next) => setRender(() => next));
  }, []);
  // Until the parser is there, the text takes its place.
  if (render === undefined) return <div class="markdown plain">{text}</div>;
  // Preact's type knows no trusted HTML. A string would not pass the policy of the page.
  return <div class="markdown" dangerouslySetInnerHTML={{ __html: render(text) as unknown as string }} />;
}
