/**
 * Messages between clients and agents, in the JSON form of A2A 1.0 (specification section 4.1). The same form
 * is stored, streamed and delivered, so that a message is serialised once. Types, because an interface is not assignable to
 * JsonObject.
 */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** One piece of content: exactly one of `text`, `raw` (base64), `url` or `data` is set (4.1.6). */
export type Part = {
  text?: string;
  raw?: string;
  url?: string;
  data?: Json;
  mediaType?: string;
  filename?: string;
  metadata?: JsonObject;
};

export type Role = 'ROLE_USER' | 'ROLE_AGENT';

export type Message = {
  messageId: string;
  role: Role;
  parts: Part[];
  contextId?: string;
  taskId?: string;
  metadata?: JsonObject;
  extensions?: string[];
  referenceTaskIds?: string[];
};

/** An output of a task. `artifactId` is unique within its task (4.1.7). */
export type Artifact = {
  artifactId: string;
  parts: Part[];
  name?: string;
  description?: string;
  metadata?: JsonObject;
  extensions?: string[];
};

/** Returns the text of all text parts, joined by newlines. Other parts are skipped. */
export function textOf(parts: readonly Part[]): string {
  return parts.flatMap((part) => (part.text === undefined ? [] : [part.text])).join('\n');
}

/** Returns whether a text is base64 (RFC 4648, section 4). The padding may be missing. */
export function isBase64(text: string): boolean {
  if (/[^A-Za-z0-9+/=]/.test(text)) return false;
  const padding = text.indexOf('=');
  if (padding === -1) return text.length % 4 !== 1;
  return text.length % 4 === 0 && padding >= text.length - 2 && text.endsWith('=');
}
