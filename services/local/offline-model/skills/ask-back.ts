/**
 * Asks the user when told to ("Ask me which city"): by the function that is declared for it, else in plain words. In the
 * next turn it says what was answered.
 */
import { call, say } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { lastUserText, textOf } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';
import { declaredFunctions } from './call-tools.ts';

const TOLD = /\bask (?:me|the user|back|him|her|them)\b(?:\s+(?:for|about|to tell you))?[\s:,]*([^.?!\n]*)/i;
const ASKING_FUNCTION = /ask.*user|request.*input|ask_?human/i;

export function askBack(request: GenerateRequest): Reply | undefined {
  const told = TOLD.exec(lastUserText(request));
  if (told === null || /\b(?:do not|don't|never|without)\s*$/i.test(told.input.slice(0, told.index)))
    return undefined;
  const question = asQuestion(told[1] ?? '');
  const asking = declaredFunctions(request).find(({ name = '' }) => ASKING_FUNCTION.test(name));
  return asking?.name === undefined ? say(question) : call([{ name: asking.name, args: { question } }]);
}

function asQuestion(about: string): string {
  const words = about.trim().replaceAll(/\b(I am|I|me|my|mine)\b/g, (word) => yours[word] ?? word);
  return words === '' ? 'What would you like to tell me?' : `Could you tell me ${words}?`;
}

const yours: Record<string, string> = { 'I am': 'you are', I: 'you', me: 'you', my: 'your', mine: 'yours' };

/** What the user answered to the function that asks. */
export function answerToCall({ contents }: GenerateRequest): Reply | undefined {
  const responses = (contents.at(-1)?.parts ?? []).flatMap((part) => part.functionResponse ?? []);
  const calls = (contents.at(-2)?.parts ?? []).flatMap((part) => part.functionCall ?? []);
  const [response] = responses;
  if (responses.length !== 1 || !ASKING_FUNCTION.test(response?.name ?? '')) return undefined;
  const question = calls[0]?.args?.['question'];
  const answer = response?.response?.['answer'];
  if (typeof question !== 'string' || typeof answer !== 'string') return undefined;
  return say(`To “${question}” you answered “${answer.trim()}”. The offline model has noted it.`);
}

export function answerReceived(request: GenerateRequest): Reply | undefined {
  const asked = textOf(request.contents.findLast((content) => content.role === 'model')).trim();
  if (!asked.endsWith('?') || request.contents.at(-1)?.role === 'model') return undefined;
  return say(`To “${asked}” you answered “${lastUserText(request).trim()}”. The offline model has noted it.`);
}
