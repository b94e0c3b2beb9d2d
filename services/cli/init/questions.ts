/** The questions of `longhaul init` on a terminal, for what no flag says. */
import { createInterface } from 'node:readline/promises';
import type { Readable, Writable } from 'node:stream';
import { languages, type Language, type ProjectOptions } from './files.ts';

const kinds: Record<Language, string> = {
  yaml: 'a Gemini agent as data (agent.yaml)',
  typescript: 'an agent in TypeScript (agent.ts)',
  javascript: 'an agent in JavaScript (agent.js)',
  gateway: 'an A2A agent that exists already, in any language (agent.yaml)',
};

/** An empty answer takes the default: the first kind, and "My agent". The end of the input counts as empty answers. */
export async function askOptions(
  known: Partial<ProjectOptions>,
  terminal: { input: Readable; output: Writable },
): Promise<Partial<ProjectOptions>> {
  if (known.language !== undefined && known.name !== undefined) return known;
  const questions = createInterface(terminal);
  const lines = questions[Symbol.asyncIterator]();
  const ask = async (text: string): Promise<string> => {
    terminal.output.write(text);
    const next = await lines.next();
    return next.done === true ? '' : next.value.trim();
  };
  try {
    const name = known.name ?? (await ask('Name of the agent (My agent): '));
    const language = known.language ?? (await askLanguage(ask));
    return { ...(name !== '' && { name }), language };
  } finally {
    questions.close();
  }
}

async function askLanguage(ask: (text: string) => Promise<string>): Promise<Language> {
  const list = languages.map((language, index) => `  ${index + 1}  ${kinds[language]}\n`).join('');
  for (let prompt = `Kind of agent:\n${list}Number (1): `; ;) {
    const answer = await ask(prompt);
    const chosen = answer === '' ? languages[0] : languages[Number(answer) - 1];
    const named = languages.find((language) => language === answer.toLowerCase());
    if (chosen !== undefined || named !== undefined) return named ?? chosen ?? languages[0];
    prompt = `"${answer}" is not one of them. Expected a number from 1 to ${languages.length} (1): `;
  }
}
