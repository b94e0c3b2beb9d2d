/** Builds the message of a send from the arguments of a command. */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { Message, Part } from '#shared/domain/message.ts';
import { usageError } from '../../failure.ts';

/** By extension: those that agents commonly accept. Others need the type in the option, or are sent as bytes. */
const mediaTypes: Record<string, string> = {
  csv: 'text/csv',
  gif: 'image/gif',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  json: 'application/json',
  md: 'text/markdown',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  pdf: 'application/pdf',
  png: 'image/png',
  svg: 'image/svg+xml',
  txt: 'text/plain',
  wav: 'audio/wav',
  webp: 'image/webp',
  xml: 'application/xml',
  yaml: 'application/yaml',
  yml: 'application/yaml',
};

/**
 * @param content the text; `-`: what is piped to the command
 * @param files paths or URLs, each perhaps followed by `;type=` and a media type, as with curl
 * @throws {CliError} if the message would be empty, or a file cannot be read
 */
export async function createMessage(
  content: string | undefined,
  files: readonly string[],
  more: Partial<Message> = {},
): Promise<Message> {
  const written = content === '-' ? await text(process.stdin) : (content ?? '');
  const parts: Part[] = written.trim() === '' ? [] : [{ text: written }];
  for (const file of files) parts.push(await createFilePart(file));
  if (parts.length === 0)
    throw usageError('there is nothing to send: expected a text, - for standard input, or --file');
  return { messageId: randomUUID(), role: 'ROLE_USER', parts, ...more };
}

async function createFilePart(value: string): Promise<Part> {
  const [, name = '', type] = /^(.*?)(?:;type=(\S+\/\S+))?$/s.exec(value) ?? [];
  const isUrl = /^https?:\/\//.test(name);
  const filename = path.basename(isUrl ? new URL(name).pathname : name);
  const mediaType =
    type ?? mediaTypes[path.extname(filename).slice(1).toLowerCase()] ?? 'application/octet-stream';
  if (isUrl) return { url: name, filename, mediaType };
  try {
    return { raw: (await readFile(name)).toString('base64'), filename, mediaType };
  } catch (error) {
    throw usageError(`${name} cannot be read: ${(error as Error).message}`);
  }
}
