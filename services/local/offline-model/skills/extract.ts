/** Lists the emails, links, dates, numbers, telephone numbers or names in a text. */
import { createTextReply, type Reply } from '../reply.ts';
import { getLastUserText, type GenerateRequest } from '../wire.ts';
import { findEntities, type EntityKind } from './find.ts';
import { getGivenText } from './given-text.ts';

const kinds: readonly { kind: EntityKind; title: string; pattern: RegExp }[] = [
  { kind: 'email', title: 'Emails', pattern: /e-?mails?\b/i },
  { kind: 'url', title: 'Links', pattern: /\b(urls?|links?)\b/i },
  { kind: 'date', title: 'Dates', pattern: /\bdates?\b/i },
  { kind: 'phone', title: 'Telephone numbers', pattern: /\b(tele)?phones?\b/i },
  { kind: 'number', title: 'Numbers', pattern: /\b(numbers?|amounts?|figures?)\b/i },
  { kind: 'name', title: 'Names', pattern: /\b(names?|people|persons?)\b/i },
];

export function extract(request: GenerateRequest): Reply | undefined {
  const instruction = getLastUserText(request).slice(0, 200);
  if (!/\b(extract|find|list|pull out|get all)\b/i.test(instruction)) return undefined;
  const named = kinds.filter(({ pattern }) => pattern.test(instruction));
  if (named.length === 0 && !/\bextract\b/i.test(instruction)) return undefined;
  const text = getGivenText(request);
  const lines = (named.length > 0 ? named : kinds).map(({ kind, title }) => {
    const found = findEntities(kind, text);
    return `${title}: ${found.length > 0 ? found.join(', ') : 'none found'}`;
  });
  return createTextReply(`Found by the offline model's simple rules:\n\n${lines.join('\n')}`);
}
