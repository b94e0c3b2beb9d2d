/** The URLs under which the api service serves the files of tasks. Pure. */
import { isUuid } from './ids.ts';

export interface FileLocation {
  taskId: string;
  /** SHA-256 of the content, as base64url. */
  hash: string;
}

export function createFileUrl(publicUrl: string, tenant: string, { taskId, hash }: FileLocation): string {
  const query = tenant === '' ? '' : `?tenant=${encodeURIComponent(tenant)}`;
  return `${publicUrl}/files/${taskId}/${hash}${query}`;
}

/** Parses a URL that `createFileUrl` returned. Returns undefined for any other URL. */
export function parseFileUrl(publicUrl: string, url: string): FileLocation | undefined {
  if (!url.startsWith(`${publicUrl}/files/`)) return undefined;
  const [taskId = '', hash = '', ...more] = url.slice(`${publicUrl}/files/`.length).split(/[/?]/);
  const isFileUrl = isUuid(taskId) && isFileHash(hash) && (more.length === 0 || url.includes('?tenant='));
  return isFileUrl ? { taskId, hash } : undefined;
}

export function isFileHash(text: string): boolean {
  return /^[\w-]{43}$/.test(text);
}
