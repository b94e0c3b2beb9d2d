/** The addresses under which the front door serves the files of tasks. Pure. */
import { isUuid } from './ids.ts';

export interface FilePlace {
  taskId: string;
  /** SHA-256 of the content, as base64url. */
  hash: string;
}

export function fileUrl(publicUrl: string, tenant: string, { taskId, hash }: FilePlace): string {
  const query = tenant === '' ? '' : `?tenant=${encodeURIComponent(tenant)}`;
  return `${publicUrl}/files/${taskId}/${hash}${query}`;
}

/** What such an address names; undefined for every other address. */
export function placeInUrl(publicUrl: string, url: string): FilePlace | undefined {
  if (!url.startsWith(`${publicUrl}/files/`)) return undefined;
  const [taskId = '', hash = '', ...more] = url.slice(`${publicUrl}/files/`.length).split(/[/?]/);
  const isPlace = isUuid(taskId) && isFileHash(hash) && (more.length === 0 || url.includes('?tenant='));
  return isPlace ? { taskId, hash } : undefined;
}

export function isFileHash(text: string): boolean {
  return /^[\w-]{43}$/.test(text);
}
