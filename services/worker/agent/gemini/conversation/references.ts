/**
 * The tasks that a message refers to (`referenceTaskIds`), in words before it: what was said, and what came of it. Of a
 * task that is larger than the history may be, the newest is kept.
 */
import type { Part as GeminiPart } from '@google/genai';
import type { Part } from '#shared/domain/message.ts';
import type { ReferencedTask } from '../../agent.ts';
import { shownAgain } from './contents.ts';
import { tokensIn } from './history.ts';

export function toReferenceParts(
  { taskId, state, messages, artifacts }: ReferencedTask,
  maxTokens: number,
): GeminiPart[] {
  const told = [
    ...messages.map(({ role, parts }) => labelled(role === 'ROLE_USER' ? 'User' : 'Agent', parts)),
    ...artifacts.map(({ artifactId, name = artifactId, parts }) => labelled(`Artifact "${name}"`, parts)),
  ];
  while (told.length > 0 && tokensIn(told.flat()) > maxTokens) told.shift();
  return [
    { text: `[Begin of the task ${taskId}, to which the next message refers; its state is ${state}]` },
    ...told.flat(),
    { text: `[End of the task ${taskId}]` },
  ];
}

function labelled(who: string, parts: readonly Part[]): GeminiPart[] {
  return [{ text: `${who}:` }, ...parts.flatMap(shownAgain)];
}
