/**
 * Describes the tasks that a message refers to (`referenceTaskIds`) in parts before the message: their
 * messages and their artifacts. A task larger than the history limit loses its oldest entries.
 */
import type { Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { ReferencedTask } from '../../agent.ts';
import { estimateTokens } from '../model/tokens.ts';
import { toUserParts } from './contents.ts';
import type { InlineTextFiles } from './text-files.ts';

export async function toReferenceParts(
  { taskId, state, messages, artifacts, complete }: ReferencedTask,
  inline: InlineTextFiles,
  maxTokens: number,
): Promise<GeminiPart[]> {
  const entries: GeminiPart[][] = [];
  for (const { role, parts } of messages) {
    entries.push(toEntry(role === 'ROLE_USER' ? 'User' : 'Agent', await inline(parts)));
  }
  for (const { artifactId, name = artifactId, parts } of artifacts) {
    entries.push(toEntry(`Artifact "${name}"`, await inline(parts)));
  }
  while (entries.length > 0 && estimateTokens(entries.flat()) > maxTokens) entries.shift();
  return [
    { text: `[Start of task ${taskId}, to which the next message refers. Its state is ${state}.]` },
    ...(complete ? [] : [{ text: '[Its content was left out because it is too large.]' }]),
    ...entries.flat(),
    { text: `[End of task ${taskId}]` },
  ];
}

function toEntry(label: string, parts: readonly Part[]): GeminiPart[] {
  return [{ text: `${label}:` }, ...parts.flatMap(toUserParts)];
}
