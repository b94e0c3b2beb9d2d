/** The ids of other agents. */
import { hasControlCharacter } from '#shared/domain/ids.ts';

export const maxIdChars = 512;

/** Ids are stored, and sent back in URLs. */
export function isId(id: string): boolean {
  return id !== '' && id.length <= maxIdChars && !hasControlCharacter(id);
}
