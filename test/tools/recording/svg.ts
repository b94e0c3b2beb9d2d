/** A picture that plays a recording once, and then shows all of it. Without animations it shows all of it at once. */
import { columns, type OutputEvent } from './cast.ts';

const fontSize = 14;
const lineHeight = 20;
const charWidth = fontSize * 0.6;
const padding = 16;

/** A piece of a line. */
interface Span {
  at: number;
  text: string;
  style: 'plain' | 'dim' | 'bold';
}

export function renderSvg(events: readonly OutputEvent[]): string {
  const lines = toLines(events);
  const width = Math.ceil(columns * charWidth) + 2 * padding;
  const height = lines.length * lineHeight + 2 * padding;
  const texts = lines.flatMap((spans, index) => {
    const y = padding + (index + 0.75) * lineHeight;
    const content = spans.map(renderSpan).join('');
    return content === '' ? [] : [`<text x="${padding}" y="${y}">${content}</text>`];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>A terminal: longhaul send streams the answer of a task, and longhaul watch follows another one</title>
<style>
rect { fill: #f6f8fa } text { fill: #1f2328; font: ${fontSize}px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre }
.dim { fill: #59636e } .bold { font-weight: bold }
@media (prefers-color-scheme: dark) { rect { fill: #151b23 } text { fill: #f0f6fc } .dim { fill: #9198a1 } }
@media (prefers-reduced-motion: no-preference) { tspan { visibility: hidden; animation: show 0s forwards } }
@keyframes show { to { visibility: visible } }
</style>
<rect width="${width}" height="${height}" rx="8"/>
${texts.join('\n')}
</svg>
`;
}

function renderSpan({ at, text, style }: Span): string {
  const type = style === 'plain' ? '' : ` class="${style}"`;
  return `<tspan${type} style="animation-delay:${at}s">${escapeXml(text)}</tspan>`;
}

/** Follows the line ends and styles of the output, and wraps lines at the width of the terminal. */
function toLines(events: readonly OutputEvent[]): Span[][] {
  const lines: Span[][] = [[]];
  let style: Span['style'] = 'plain';
  let column = 0;
  const breakLine = (): void => {
    lines.push([]);
    column = 0;
  };
  for (const { at, text } of events) {
    // oxlint-disable-next-line eslint/no-control-regex -- escapes of terminals
    for (const [part] of text.matchAll(/\u001b\[\d*m|\r?\n|[^\u001b\r\n]+/g)) {
      if (part.endsWith('\n')) breakLine();
      else if (part.startsWith('\u001b')) style = toStyle(part);
      else {
        let rest = part;
        while (rest !== '') {
          if (column === columns) breakLine();
          const piece = rest.slice(0, columns - column);
          lines.at(-1)?.push({ at, text: piece, style });
          column += piece.length;
          rest = rest.slice(piece.length);
        }
      }
    }
  }
  if (lines.at(-1)?.length === 0) lines.pop();
  return lines;
}

/** ECMA-48, section 8.3.117: SGR 1 is bold, 2 is faint, and 22 ends both. */
function toStyle(escape: string): Span['style'] {
  const [code] = /\d+/.exec(escape) ?? ['0'];
  return code === '1' ? 'bold' : code === '2' ? 'dim' : 'plain';
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
