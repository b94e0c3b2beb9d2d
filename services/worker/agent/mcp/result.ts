/** Converts the result of an MCP tool to the output that the model gets. */
import type { CallToolResult } from '@modelcontextprotocol/client';
import type { Json } from '#shared/domain/message.ts';
import { toSupportedType } from '../gemini/conversation/media-types.ts';
import { OutputWithFiles, pendingKey, PendingOutput, type ToolFile } from '../gemini/tools/tool.ts';

type ContentBlock = CallToolResult['content'][number];

/**
 * @param maxChars the maximum length of the output; the rest is cut
 * @param remark what the model should know about the result
 * @throws {Error} with the tool's own message if the result is an error
 */
export function toToolOutput(
  result: CallToolResult,
  maxChars: number,
  remark?: string,
): Json | OutputWithFiles | PendingOutput {
  if (result.isError !== true && result._meta?.[pendingKey] === true) return new PendingOutput();
  const files = result.isError === true ? [] : result.content.flatMap(toFiles);
  const plain = toOutput(result, maxChars);
  const output = remark === undefined ? plain : { result: plain, remark };
  return files.length === 0 ? output : new OutputWithFiles(output, files);
}

/** Larger files are only mentioned: a file is stored with its step and sent with each later model call. */
const maxFileBytes = 8 * 1024 * 1024;

function toFiles(block: ContentBlock): ToolFile[] {
  const file = readBlob(block);
  const fits = file !== undefined && Buffer.byteLength(file.data, 'base64') <= maxFileBytes;
  return fits && toSupportedType(file.mediaType) !== undefined ? [file] : [];
}

function readBlob(block: ContentBlock): ToolFile | undefined {
  if (block.type === 'image' || block.type === 'audio')
    return { mediaType: block.mimeType, data: block.data };
  if (block.type !== 'resource' || !('blob' in block.resource)) return undefined;
  const { blob, mimeType = 'application/octet-stream', uri } = block.resource;
  return { mediaType: mimeType, data: blob, filename: uri.split('/').at(-1) ?? uri };
}

function toOutput(result: CallToolResult, maxChars: number): Json {
  const text = result.content.map(toText).filter(Boolean).join('\n');
  if (result.isError === true) throw new Error(cut(text === '' ? 'the tool failed' : text, maxChars));
  // The text next to structured content repeats it (MCP specification, tools, "Structured Content").
  if (result.structuredContent === undefined) return cut(text, maxChars);
  const json = JSON.stringify(result.structuredContent);
  return json.length > maxChars ? cut(json, maxChars) : (JSON.parse(json) as Json);
}

function toText(block: ContentBlock): string {
  switch (block.type) {
    case 'text':
      return block.text;
    case 'resource_link':
      return `[${block.name}](${block.uri})${block.description === undefined ? '' : `: ${block.description}`}`;
    case 'resource':
      return 'text' in block.resource
        ? `${block.resource.uri}:\n${block.resource.text}`
        : `[resource ${block.resource.uri}, ${block.resource.mimeType ?? 'binary'}, ${describeAttachment(block)}]`;
    case 'image':
    case 'audio':
      return `[${block.type}, ${block.mimeType}, ${Math.ceil((block.data.length * 3) / 4)} bytes, ${describeAttachment(block)}]`;
    default:
      return block satisfies never;
  }
}

function describeAttachment(block: ContentBlock): string {
  return toFiles(block).length > 0 ? 'attached' : 'not shown';
}

function cut(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  return `${text.slice(0, maxChars)}\n[cut: the first ${maxChars} of ${text.length} characters]`;
}
