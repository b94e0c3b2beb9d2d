/** What an MCP tool has returned, as the model gets it. */
import type { CallToolResult } from '@modelcontextprotocol/client';
import type { Json } from '#shared/domain/message.ts';
import { takenType } from '../gemini/conversation/media-types.ts';
import { OutputWithFiles, type ToolFile } from '../gemini/tools/tool.ts';

/** @throws {Error} with the tool's own words where it says that it failed */
export function toToolOutput(result: CallToolResult, maxChars: number): Json | OutputWithFiles {
  const files = result.isError === true ? [] : result.content.flatMap(fileOf);
  const output = wordsOf(result, maxChars);
  return files.length === 0 ? output : new OutputWithFiles(output, files);
}

/** Larger ones are only named: a step holds them, and each call of the model carries them. */
const largestFile = 8 * 1024 * 1024;

function fileOf(block: CallToolResult['content'][number]): ToolFile[] {
  const file = blobIn(block);
  const fits = file !== undefined && Buffer.byteLength(file.data, 'base64') <= largestFile;
  return fits && takenType(file.mediaType) !== undefined ? [file] : [];
}

function blobIn(block: CallToolResult['content'][number]): ToolFile | undefined {
  if (block.type === 'image' || block.type === 'audio')
    return { mediaType: block.mimeType, data: block.data };
  if (block.type !== 'resource' || !('blob' in block.resource)) return undefined;
  const { blob, mimeType = 'application/octet-stream', uri } = block.resource;
  return { mediaType: mimeType, data: blob, filename: uri.split('/').at(-1) ?? uri };
}

function wordsOf(result: CallToolResult, maxChars: number): Json {
  const text = result.content.map(textOf).filter(Boolean).join('\n');
  if (result.isError === true) throw new Error(cut(text === '' ? 'the tool failed' : text, maxChars));
  // The text beside structured content is the same once more (specification of tools, "Structured Content").
  if (result.structuredContent === undefined) return cut(text, maxChars);
  const json = JSON.stringify(result.structuredContent);
  return json.length > maxChars ? cut(json, maxChars) : (JSON.parse(json) as Json);
}

function textOf(block: CallToolResult['content'][number]): string {
  switch (block.type) {
    case 'text':
      return block.text;
    case 'resource_link':
      return `[${block.name}](${block.uri})${block.description === undefined ? '' : `: ${block.description}`}`;
    case 'resource':
      return 'text' in block.resource
        ? `${block.resource.uri}:\n${block.resource.text}`
        : `[resource ${block.resource.uri}, ${block.resource.mimeType ?? 'binary'}${shownOrNot(block)}]`;
    case 'image':
    case 'audio':
      return `[${block.type}, ${block.mimeType}, ${Math.ceil((block.data.length * 3) / 4)} bytes${shownOrNot(block)}]`;
    default:
      return block satisfies never;
  }
}

function shownOrNot(block: CallToolResult['content'][number]): string {
  return fileOf(block).length > 0 ? ', attached' : ': not shown';
}

function cut(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  return `${text.slice(0, maxChars)}\n[cut here: the first ${maxChars} of ${text.length} characters]`;
}
