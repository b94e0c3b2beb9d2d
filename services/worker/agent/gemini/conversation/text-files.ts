/**
 * Reads text back that this service has stored as a file because it was large (worker/turn/output/files.ts), so that the
 * model sees it like other text of earlier turns.
 */
import type { Part } from '#shared/domain/message.ts';
import type { Turn } from '../../agent.ts';
import { toSupportedType } from './media-types.ts';

/** Text that is read back for one turn, in bytes. Histories are trimmed to far less. */
const maxBytes = 4 * 1024 * 1024;

/** Replaces files by their text, until the texts of all calls take `maxBytes`. Other parts stay. */
export type InlineTextFiles = (parts: readonly Part[]) => Promise<Part[]>;

export function createTextFileReader(readFile: Turn['readFile']): InlineTextFiles {
  let left = maxBytes;

  async function inline(part: Part): Promise<Part> {
    const { url, mediaType } = part;
    if (url === undefined || toSupportedType(mediaType) !== 'text/plain') return part;
    const file = left > 0 ? await readFile(url) : undefined;
    if (file === undefined || file.content.length > left) return part;
    left -= file.content.length;
    return { text: file.content.toString() };
  }

  return async (parts) => {
    const inlined: Part[] = [];
    for (const part of parts) inlined.push(await inline(part));
    return inlined;
  };
}
