/** The message of a turn as a message of LangChain. */
import { HumanMessage } from '@langchain/core/messages';
import type { Turn } from '#services/worker/agent/agent.ts';
import type { Part } from '#shared/domain/message.ts';

type Block = Record<string, unknown> & { type: string };

/** The id is that of the A2A message, so that it is the same each time that the turn runs. */
export async function toHumanMessage(turn: Pick<Turn, 'message' | 'readFile'>): Promise<HumanMessage> {
  const { messageId, parts } = turn.message;
  const blocks: Block[] = [];
  for (const part of parts) blocks.push(await toBlock(turn, part));
  const content = blocks.every(({ type }) => type === 'text')
    ? blocks.map(({ text }) => String(text)).join('\n')
    : blocks;
  return new HumanMessage({ id: messageId, content } as ConstructorParameters<typeof HumanMessage>[0]);
}

async function toBlock(turn: Pick<Turn, 'readFile'>, part: Part): Promise<Block> {
  const { text, data, raw, url, mediaType = 'application/octet-stream' } = part;
  if (text !== undefined) return { type: 'text', text };
  if (data !== undefined) return { type: 'text', text: JSON.stringify(data) };
  if (raw !== undefined) return toFileBlock(mediaType, { data: raw });
  const file = await turn.readFile(url ?? '');
  if (file === undefined) return toFileBlock(mediaType, { url });
  if (file.mediaType.startsWith('text/') || file.mediaType.startsWith('application/json')) {
    return { type: 'text', text: file.content.toString() };
  }
  return toFileBlock(file.mediaType, { data: file.content.toString('base64') });
}

/** A standard content block of LangChain 1.0. */
function toFileBlock(mimeType: string, content: { data?: string; url?: string | undefined }): Block {
  const [kind] = mimeType.split('/');
  const type = kind === 'image' || kind === 'audio' || kind === 'video' ? kind : 'file';
  return { type, mimeType, ...content };
}
