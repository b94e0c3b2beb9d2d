/** The ids of other agents. */
export const maxIdChars = 512;

/** Ids are stored, and sent back in URLs. */
export function isId(id: string): boolean {
  // oxlint-disable-next-line no-control-regex -- they cannot be stored
  return id !== '' && id.length <= maxIdChars && !/[\u0000-\u001F\u007F]/.test(id);
}
