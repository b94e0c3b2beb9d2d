/** Texts that try to become more than text, and what a page must not have after it has shown them. */
// cspell:ignore avascript mtext mglyph noopener
import type { Page } from 'playwright-core';

/** How every hostile text starts, so that a test can find it on a screen. */
export const mark = '<img src=x';

const attack = `${mark} onerror="owned=1"><script>owned=1</script><svg onload=alert(1)>`;

/** A name or an error: HTML, terminal and bidi controls, and no space to break it at. */
export const hostileText = `${attack}\u{202e}gpj.exe\u{2066}\u{7}\u{1b}[31m${'W'.repeat(3_000)}`;

/** The same in one word, for names that may have no spaces. */
export const hostileWord = '<img/src=x/onerror=owned=1>\u{202e}gpj';

export const hostileMarkdown = [
  attack,
  '**bold** [script](javascript:owned=1) [data](data:text/html,<script>1</script>) [vb](vbscript:1)',
  '[case](JaVaScRiPt:1) [entity](&#106;avascript:1) [control](java\u{1}script:1) <javascript:owned=1>',
  '![pixel](https://evil.example/pixel.png) ![script](javascript:1)',
  '[quote](https://evil.example/"onmouseover="owned=1)',
  '[reference][r]',
  '',
  '[r]: javascript:owned=1 "title"',
  '',
  '<iframe src="https://evil.example/"></iframe> <form action="https://evil.example/"><button>ok</button></form>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=owned=1&gt;">',
  '<a href="https://evil.example/" target="_self" style="position:fixed;inset:0">all</a>',
  '',
  '| a | b |',
  '|---|---|',
  `| ${attack.replaceAll('|', '')} | \`</code><b>\` |`,
  '',
  '```html',
  '</code></pre><script>owned=1</script>',
  '```',
  '',
  `${'> '.repeat(500)}deep`,
  '['.repeat(5_000),
  '\u{202e}reversed\u{2066}',
].join('\n');

/** Returns what the page has beyond text, as a line each. */
export function findHazards(page: Page): Promise<string[]> {
  return page.evaluate<string[]>(`
    (() => {
      const found = [];
      const describe = (element) => element.outerHTML.slice(0, 200);
      for (const element of document.querySelectorAll('#app *')) {
        const name = element.localName;
        if (/^(script|iframe|frame|object|embed|style|base|meta|link|math)$/.test(name)) found.push(describe(element));
        if (name === 'img' && !element.src.startsWith('blob:')) found.push(describe(element));
        for (const attribute of element.attributes) {
          if (/^on/.test(attribute.name) || attribute.name === 'srcdoc') found.push(describe(element));
        }
        const href = element.getAttribute('href');
        if (href !== null && !/^(https?:|mailto:|[/#])/.test(href)) found.push(describe(element));
        if (href !== null && /^https?:/.test(href) && !/noopener/.test(element.getAttribute('rel') ?? '')) found.push(describe(element));
        // A character that reorders text must not reach beyond its element.
        const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data).join('');
        const { unicodeBidi, display } = getComputedStyle(element);
        const isOpen = display === 'inline' && !/isolate|plaintext/.test(unicodeBidi);
        if (isOpen && /[\\u202a-\\u202e\\u2066-\\u2069]/.test(own)) found.push('not isolated: ' + describe(element));
      }
      for (const element of document.querySelectorAll('.markdown *')) {
        if (element.style.cssText !== '' || element.id !== '' || element.className !== '') found.push(describe(element));
      }
      if ('owned' in window) found.push('a script has run');
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth > clientWidth) found.push('the page is ' + scrollWidth + ' pixels wide, not ' + clientWidth);
      return found;
    })()`);
}
