/**
 * The built-in tool by which the model asks its user. It is never run: the turn ends in input-required with the
 * question, and the user's next message is what the call returns.
 */
import type { FunctionCall, FunctionDeclaration } from '@google/genai';

export const askUser: FunctionDeclaration & { name: string } = {
  name: 'ask_user',
  description:
    'Asks the user for something without which the task cannot be done well, and ends your turn: the next message of the user is its result. Call it once, for everything that is missing.',
  parametersJsonSchema: {
    type: 'object',
    properties: {
      question: { type: 'string', description: 'The question, complete and understandable by itself.' },
      options: { type: 'array', items: { type: 'string' }, description: 'Answers to choose from, if any.' },
    },
    required: ['question'],
  },
};

/** The question as the user reads it, or undefined where the model gave none. */
export function getQuestion({ args = {} }: FunctionCall): string | undefined {
  const { question, options } = args;
  if (typeof question !== 'string' || question.trim() === '') return undefined;
  const choices = Array.isArray(options) ? options.filter((option) => typeof option === 'string') : [];
  return [question, ...choices.map((option) => `- ${option}`)].join('\n');
}
