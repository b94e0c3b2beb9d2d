/**
 * Returns the text that a request refers to: the text after the instruction ("Summarise this: …"), or the
 * earlier messages of the user if the message is only an instruction ("Summarise that.").
 */
import { getLastUserText, getContentText, type GenerateRequest } from '../wire.ts';

const maxInstructionLength = 200;

export function getGivenText(request: GenerateRequest): string {
  const text = getLastUserText(request).trim();
  const rest = skipInstruction(text);
  if (rest !== '') return rest;
  const userTexts = request.contents.filter((content) => content.role !== 'model').map(getContentText);
  return userTexts.slice(0, -1).join('\n').trim() || text;
}

function skipInstruction(text: string): string {
  const end = /:\s|\n/.exec(text);
  if (end !== null && end.index <= maxInstructionLength) return text.slice(end.index + 1).trim();
  const firstSentence = /^[^.!?]*[.!?]\s+/.exec(text);
  return firstSentence === null ? '' : text.slice(firstSentence[0].length).trim();
}
