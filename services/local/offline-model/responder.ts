/**
 * Decides what the offline model replies. Each skill examines the request and returns a reply or undefined.
 * The first reply wins, so the order of the skills is their precedence. Tests can use another responder
 * instead.
 */
import { createTextReply, type Reply } from './reply.ts';
import { confirmAnswer, confirmCallAnswer, askBack } from './skills/ask-back.ts';
import { calculate } from './skills/calculate.ts';
import { extract } from './skills/extract.ts';
import { fillSchema } from './skills/fill-schema.ts';
import { callFunctions, reportFunctionResults } from './skills/function-calls.ts';
import { summarise } from './skills/summarise.ts';
import { workSlowly } from './skills/work.ts';
import { getLastUserText, type GenerateRequest } from './wire.ts';

export type Responder = (request: GenerateRequest) => Reply | Promise<Reply>;

/** Returns undefined for a request that the skill does not handle. */
type Skill = (request: GenerateRequest) => Reply | undefined;

const skills: readonly Skill[] = [
  fillSchema,
  confirmCallAnswer,
  reportFunctionResults,
  askBack,
  callFunctions,
  workSlowly,
  calculate,
  summarise,
  extract,
  confirmAnswer,
];

export const respond: Responder = (request) => {
  for (const skill of skills) {
    const reply = skill(request);
    if (reply !== undefined) return reply;
  }
  return introduce(request);
};

const maxQuoteLength = 300;

/** Quotes the message and explains what the offline model can do, and how to use the real one. */
function introduce(request: GenerateRequest): Reply {
  const text = getLastUserText(request).trim();
  const quote = text.length > maxQuoteLength ? `${text.slice(0, maxQuoteLength)}…` : text;
  const parts = request.contents.at(-1)?.parts ?? [];
  const files = parts.filter((part) => part.inlineData ?? part.fileData).length;
  return createTextReply(
    [
      'This is the offline model, not Gemini: it follows simple rules and uses no network.',
      quote === '' ? 'Your message had no text.' : `You wrote: “${quote}”`,
      ...(files > 0 ? [`You attached ${files} file(s), which only the real model can read.`] : []),
      'I can work slowly ("work for 60 seconds"), summarise a text, extract emails, dates, numbers, links and names, calculate, and call tools.',
      'To use the real model, set GEMINI_API_KEY and start again.',
    ].join('\n'),
  );
}
