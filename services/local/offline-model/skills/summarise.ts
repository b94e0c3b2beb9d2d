/**
 * Summarises a text by selecting sentences. Frequent words weigh more, a sentence is scored by the weight of
 * its words, and the first sentence gets a small bonus. The best sentences are returned in their original
 * order.
 */
import { createTextReply, type Reply } from '../reply.ts';
import { getLastUserText, type GenerateRequest } from '../wire.ts';
import { getGivenText } from './given-text.ts';

const requestPattern = /\b(summar(?:y|i[sz]e\w*|ies)|tl;?dr|in short|main points?)\b/i;
const maxSentences = 5;

export function summarise(request: GenerateRequest): Reply | undefined {
  if (!requestPattern.test(getLastUserText(request))) return undefined;
  const text = getGivenText(request);
  const sentences = splitSentences(text);
  if (sentences.length === 0)
    return createTextReply('The offline model found no text to summarise: add the text after your request.');
  const best = rankSentences(sentences).slice(
    0,
    Math.min(maxSentences, Math.ceil(Math.sqrt(sentences.length))),
  );
  const selected = best.sort((a, b) => a - b).map((index) => sentences[index]);
  return createTextReply(
    `Summary of ${sentences.length} sentence(s) by the offline model, which selects sentences and writes none:\n\n${selected.join(' ')}`,
  );
}

export function splitSentences(text: string): string[] {
  const sentences: string[] = [];
  for (const { segment } of new Intl.Segmenter('en', { granularity: 'sentence' }).segment(text)) {
    const sentence = segment.replaceAll(/\s+/g, ' ').trim();
    if (/\p{L}/u.test(sentence)) sentences.push(sentence);
  }
  return sentences;
}

/** Returns the indexes of the sentences, best first. */
export function rankSentences(sentences: readonly string[]): number[] {
  const counts = new Map<string, number>();
  const words = sentences.map(getContentWords);
  for (const word of words.flat()) counts.set(word, (counts.get(word) ?? 0) + 1);
  const scores = words.map((list, index) => {
    const weight = list.reduce((sum, word) => sum + Math.log(1 + (counts.get(word) ?? 0)), 0);
    // Dividing by the length favours one-word sentences, the plain sum favours the longest: the root balances
    // them.
    return weight / Math.sqrt(list.length || 1) + (index === 0 ? 0.5 : 0);
  });
  return [...sentences.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
}

const commonWords = new Set(
  'a an and are as at be been but by can did do does for from had has have he her his how i if in into is it its may more not of on or our she so than that the their them there they this to was we were what when which who will with would you your'.split(
    ' ',
  ),
);

function getContentWords(sentence: string): string[] {
  return (sentence.toLowerCase().match(/\p{L}[\p{L}\p{N}'’-]*/gu) ?? []).filter(
    (word) => !commonWords.has(word),
  );
}
