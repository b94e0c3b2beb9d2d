/**
 * Converts an answer to the media types that its caller accepts (`acceptedOutputModes`, A2A section 3.2.2).
 * An empty list accepts all types. Data becomes text for callers that accept no JSON. A file of another type
 * is replaced by a note. Text always stays text, because it has no other form.
 */
import type { Part } from '#shared/domain/message.ts';

const json = 'application/json';

export function toAcceptedModes(parts: readonly Part[], modes: readonly string[]): Part[] {
  return modes.length === 0 ? [...parts] : parts.map((part) => toAcceptedMode(part, modes));
}

/** Returns true if the caller accepts JSON and no plain text, so that the answer must be data. */
export function requiresJson(modes: readonly string[]): boolean {
  return modes.length > 0 && accepts(modes, json) && !accepts(modes, 'text/plain');
}

function toAcceptedMode(part: Part, modes: readonly string[]): Part {
  const { text, data, mediaType } = part;
  if (text !== undefined) return part;
  if (data !== undefined) {
    const asText = !accepts(modes, json) && accepts(modes, 'text/plain');
    return asText ? { text: JSON.stringify(data), mediaType: 'text/plain' } : part;
  }
  const type = mediaType ?? 'application/octet-stream';
  if (accepts(modes, type)) return part;
  return {
    text: `[A file of type ${type} was omitted because the accepted output modes do not include it.]`,
    metadata: { leftOut: type },
  };
}

/** Modes may be ranges (`image/*`) and may have parameters. */
function accepts(modes: readonly string[], type: string): boolean {
  return modes.some((mode) => {
    const range = (mode.split(';')[0] ?? '').trim().toLowerCase();
    return range === type || range === '*/*' || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)));
  });
}
