/** When no skill fits: says what was heard, what can be done here, and how to reach the real model. */
import { say } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { lastUserText } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';

const QUOTED_CHARACTERS = 300;

export function echo(request: GenerateRequest): Reply {
  const text = lastUserText(request).trim();
  const heard = text.length > QUOTED_CHARACTERS ? `${text.slice(0, QUOTED_CHARACTERS)}…` : text;
  const files = (request.contents.at(-1)?.parts ?? []).filter(
    (part) => part.inlineData ?? part.fileData,
  ).length;
  return say(
    [
      'This is the offline model, not Gemini: it works by simple rules, without a network.',
      heard === '' ? 'Your message had no text.' : `You wrote: “${heard}”`,
      ...(files > 0 ? [`It came with ${files} file(s), which only the real model can look into.`] : []),
      'I can summarise a text, extract emails, dates, numbers, links and names, calculate, and call tools.',
      'To talk to the real model, set GEMINI_API_KEY and start again.',
    ].join('\n'),
  );
}
