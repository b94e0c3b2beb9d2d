/** Evaluates the arithmetic expressions in a message. */
import { createTextReply, type Reply } from '../reply.ts';
import { getLastUserText, type GenerateRequest } from '../wire.ts';
import { evaluate } from './arithmetic.ts';

const requestPattern =
  /\b(calculat\w*|comput\w*|evaluate|work out|how much is|what(?:'s|’s| is)|solve)\b|=\s*\??\s*$/i;
const expressionPattern = /[-+(]*(?:\d|\.\d|sqrt)(?:[\d\s.,()+\-*/×÷^%]|sqrt)*/g;
const datePattern = /\d{4}-\d{2}-\d{2}/g;

export function calculate(request: GenerateRequest): Reply | undefined {
  const text = getLastUserText(request).trim();
  const requested = requestPattern.test(text);
  if (!requested && !/^[\d\s.,()+\-*/×÷^%=?]+$/.test(text)) return undefined;
  const answers = (
    text
      .replaceAll(datePattern, ' ')
      .replaceAll(/%\s*of\s+(?=[\d(])/g, '% * ')
      .replaceAll(/(?<=[\d)]\s*)\b(times|plus|minus|divided by)\b(?=\s*[-\d(.])/gi, toOperator)
      .match(expressionPattern) ?? []
  ).flatMap((candidate) => {
    const expression = candidate.trim().replace(/[\s.,+\-*/×÷^(]+$/, '');
    const result = /[\d)%]\s*[+\-*/×÷^%]\s*[-+(.\ds]|sqrt/.test(expression)
      ? evaluate(expression)
      : undefined;
    return result === undefined ? [] : [`${expression} = ${formatResult(result)}`];
  });
  return answers.length === 0
    ? undefined
    : createTextReply(`${answers.join('\n')}\n\n(calculated by the offline model)`);
}

function toOperator(word: string): string {
  return { times: '*', plus: '+', minus: '-' }[word.toLowerCase()] ?? '/';
}

function formatResult(result: number): string {
  if (!Number.isFinite(result)) return 'undefined (division by zero, or out of range)';
  return String(Number(result.toPrecision(15)));
}
