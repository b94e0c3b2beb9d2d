/** What an MCP tool has returned, as the model gets it. */
import type { CallToolResult } from '@modelcontextprotocol/client';
import type { Json } from '#shared/domain/message.ts';

/** @throws {Error} with the tool's own words where it says that it failed */
export function outputOf(result: CallToolResult, maxChars: number): Json {
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
        : `[resource ${block.resource.uri}, ${block.resource.mimeType ?? 'binary'}]`;
    case 'image':
    case 'audio':
      return `[${block.type}, ${block.mimeType}, ${Math.ceil((block.data.length * 3) / 4)} bytes: not shown]`;
    default:
      return block satisfies never;
  }
}

function cut(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  return `${text.slice(0, maxChars)}\n[cut here: the first ${maxChars} of ${text.length} characters]`;
}
