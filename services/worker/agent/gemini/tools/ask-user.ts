/**
 * The built-in tool with which the model asks its user. It never runs: the turn ends in input-required with
 * the question, and the user's next message becomes the result of the call.
 */
import type { FunctionCall, FunctionDeclaration } from '@google/genai';

export const askUser: FunctionDeclaration & { name: string } = {
  name: 'ask_user',
  description:
    "Asks the user for information that the task needs, and ends your turn. The user's next message is the result. Call it once, for everything that is missing.",
  parametersJsonSchema: {
    type: 'object',
    properties: {
      question: { type: 'string', description: 'The question, understandable without any other context.' },
      options: { type: 'array', items: { type: 'string' }, description: 'Suggested answers, if any.' },
    },
    required: ['question'],
  },
};

/** Returns the question as shown to the user, or undefined if the model gave none. */
export function getQuestion({ args = {} }: FunctionCall): string | undefined {
  const { question, options } = args;
  if (typeof question !== 'string' || question.trim() === '') return undefined;
  const choices = Array.isArray(options) ? options.filter((option) => typeof option === 'string') : [];
  return [question, ...choices.map((option) => `- ${option}`)].join('\n');
}
