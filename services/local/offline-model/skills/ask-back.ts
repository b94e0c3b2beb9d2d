/**
 * Asks the user a question when instructed to ("Ask me which city"): by calling the function that is declared
 * for questions, or in words. In the next turn it confirms the answer.
 */
import { createCallReply, createTextReply, type Reply } from '../reply.ts';
import { getLastUserText, getContentText, type GenerateRequest } from '../wire.ts';
import { getDeclaredFunctions } from './function-calls.ts';

const instructionPattern =
  /\bask (?:me|the user|back|him|her|them)\b(?:\s+(?:for|about|to tell you))?[\s:,]*([^.?!\n]*)/i;
const questionFunctionPattern = /ask.*user|request.*input|ask_?human/i;

export function askBack(request: GenerateRequest): Reply | undefined {
  const match = instructionPattern.exec(getLastUserText(request));
  if (match === null || /\b(?:do not|don't|never|without)\s*$/i.test(match.input.slice(0, match.index)))
    return undefined;
  const question = toQuestion(match[1] ?? '');
  const declared = getDeclaredFunctions(request).find(({ name = '' }) => questionFunctionPattern.test(name));
  return declared?.name === undefined
    ? createTextReply(question)
    : createCallReply([{ name: declared.name, args: { question } }]);
}

function toQuestion(about: string): string {
  const words = about.trim().replaceAll(/\b(I am|I|me|my|mine)\b/g, (word) => secondPerson[word] ?? word);
  return words === '' ? 'What would you like to tell me?' : `Could you tell me ${words}?`;
}

const secondPerson: Record<string, string> = {
  'I am': 'you are',
  I: 'you',
  me: 'you',
  my: 'your',
  mine: 'yours',
};

/** Confirms the answer to a question that was asked by a function call. */
export function confirmCallAnswer({ contents }: GenerateRequest): Reply | undefined {
  const responses = (contents.at(-1)?.parts ?? []).flatMap((part) => part.functionResponse ?? []);
  const calls = (contents.at(-2)?.parts ?? []).flatMap((part) => part.functionCall ?? []);
  const [response] = responses;
  if (responses.length !== 1 || !questionFunctionPattern.test(response?.name ?? '')) return undefined;
  const question = calls[0]?.args?.['question'];
  const answer = response?.response?.['answer'];
  if (typeof question !== 'string' || typeof answer !== 'string') return undefined;
  return createTextReply(`To “${question}” you answered “${answer.trim()}”. The offline model has noted it.`);
}

/** Confirms the answer to a question that was asked in words. */
export function confirmAnswer(request: GenerateRequest): Reply | undefined {
  const question = getContentText(request.contents.findLast((content) => content.role === 'model')).trim();
  if (!question.endsWith('?') || request.contents.at(-1)?.role === 'model') return undefined;
  return createTextReply(
    `To “${question}” you answered “${getLastUserText(request).trim()}”. The offline model has noted it.`,
  );
}
