/**
 * The material that a request is about: what follows the instruction ("Summarise this: …"), or, where the message is
 * only an instruction ("Summarise that."), what the user wrote before.
 */
import { lastUserText, textOf } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';

const LONGEST_INSTRUCTION = 200;

export function givenText(request: GenerateRequest): string {
  const text = lastUserText(request).trim();
  const rest = afterInstruction(text);
  if (rest !== '') return rest;
  const users = request.contents.filter((content) => content.role !== 'model').map(textOf);
  return users.slice(0, -1).join('\n').trim() || text;
}

function afterInstruction(text: string): string {
  const end = /:\s|\n/.exec(text);
  if (end !== null && end.index <= LONGEST_INSTRUCTION) return text.slice(end.index + 1).trim();
  const firstSentence = /^[^.!?]*[.!?]\s+/.exec(text);
  return firstSentence === null ? '' : text.slice(firstSentence[0].length).trim();
}
