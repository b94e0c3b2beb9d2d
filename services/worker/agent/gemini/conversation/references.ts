/**
 * Describes the tasks that a message refers to (`referenceTaskIds`) in parts before the message: their
 * messages and their artifacts. A task larger than the history limit loses its oldest entries.
 */
import type { Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { ReferencedTask } from '../../agent.ts';
import { estimateTokens } from '../model/tokens.ts';
import { toUserParts } from './contents.ts';

export function toReferenceParts(
  { taskId, state, messages, artifacts, complete }: ReferencedTask,
  maxTokens: number,
): GeminiPart[] {
  const entries = [
    ...messages.map(({ role, parts }) => toEntry(role === 'ROLE_USER' ? 'User' : 'Agent', parts)),
    ...artifacts.map(({ artifactId, name = artifactId, parts }) => toEntry(`Artifact "${name}"`, parts)),
  ];
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
