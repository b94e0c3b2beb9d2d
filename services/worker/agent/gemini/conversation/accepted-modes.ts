/**
 * An answer in the media types that its caller accepts (`acceptedOutputModes`, A2A section 3.2.2). None named: all. Data
 * becomes text for those who take no JSON; a file that is not accepted is left out, and said to be. Text stays text:
 * there is nothing else that it could become.
 */
import type { Part } from '#shared/domain/message.ts';

const json = 'application/json';

export function inAcceptedModes(parts: readonly Part[], modes: readonly string[]): Part[] {
  return modes.length === 0 ? [...parts] : parts.map((part) => inMode(part, modes));
}

/** Whether an answer must be data to be accepted at all. */
export function asksForJson(modes: readonly string[]): boolean {
  return modes.length > 0 && accepts(modes, json) && !accepts(modes, 'text/plain');
}

function inMode(part: Part, modes: readonly string[]): Part {
  const { text, data, mediaType } = part;
  if (text !== undefined) return part;
  if (data !== undefined) {
    const asText = !accepts(modes, json) && accepts(modes, 'text/plain');
    return asText ? { text: JSON.stringify(data), mediaType: 'text/plain' } : part;
  }
  const type = mediaType ?? 'application/octet-stream';
  if (accepts(modes, type)) return part;
  return {
    text: `[A file of the type ${type} was left out: it is not among the accepted output modes.]`,
    metadata: { leftOut: type },
  };
}

/** Modes may be ranges (`image/*`), and have parameters. */
function accepts(modes: readonly string[], type: string): boolean {
  return modes.some((mode) => {
    const range = (mode.split(';')[0] ?? '').trim().toLowerCase();
    return range === type || range === '*/*' || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)));
  });
}
