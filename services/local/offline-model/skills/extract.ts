/** Lists the emails, links, dates, numbers, telephone numbers or names that stand in the given text. */
import { say } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { lastUserText } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';
import { find } from './find.ts';
import type { Kind } from './find.ts';
import { givenText } from './given-text.ts';

const kinds: readonly { kind: Kind; title: string; asked: RegExp }[] = [
  { kind: 'email', title: 'Emails', asked: /e-?mails?\b/i },
  { kind: 'url', title: 'Links', asked: /\b(urls?|links?)\b/i },
  { kind: 'date', title: 'Dates', asked: /\bdates?\b/i },
  { kind: 'phone', title: 'Telephone numbers', asked: /\b(tele)?phones?\b/i },
  { kind: 'number', title: 'Numbers', asked: /\b(numbers?|amounts?|figures?)\b/i },
  { kind: 'name', title: 'Names', asked: /\b(names?|people|persons?)\b/i },
];

export function extract(request: GenerateRequest): Reply | undefined {
  const instruction = lastUserText(request).slice(0, 200);
  if (!/\b(extract|find|list|pull out|get all)\b/i.test(instruction)) return undefined;
  const named = kinds.filter(({ asked }) => asked.test(instruction));
  if (named.length === 0 && !/\bextract\b/i.test(instruction)) return undefined;
  const text = givenText(request);
  const lines = (named.length > 0 ? named : kinds).map(({ kind, title }) => {
    const found = find(kind, text);
    return `${title}: ${found.length > 0 ? found.join(', ') : 'none found'}`;
  });
  return say(`Found by the offline model's simple rules:\n\n${lines.join('\n')}`);
}
