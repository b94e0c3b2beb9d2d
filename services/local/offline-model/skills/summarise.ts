/**
 * Summarises by ranking sentences: words that come often weigh more, sentences are scored by the mean weight of their
 * words, early ones get a little extra; the best are told in their own order.
 */
import { say } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { lastUserText } from '../wire.ts';
import type { GenerateRequest } from '../wire.ts';
import { givenText } from './given-text.ts';

const ASKED = /\b(summar(?:y|i[sz]e\w*|ies)|tl;?dr|in short|main points?)\b/i;
const MOST_SENTENCES = 5;

export function summarise(request: GenerateRequest): Reply | undefined {
  if (!ASKED.test(lastUserText(request))) return undefined;
  const text = givenText(request);
  const sentences = sentencesOf(text);
  if (sentences.length === 0)
    return say('The offline model found no text to summarise: send it after the request.');
  const best = rankSentences(sentences).slice(
    0,
    Math.min(MOST_SENTENCES, Math.ceil(Math.sqrt(sentences.length))),
  );
  const told = best.sort((a, b) => a - b).map((index) => sentences[index]);
  return say(
    `Summary of ${sentences.length} sentence(s) by the offline model, which picks sentences and writes none:\n\n${told.join(' ')}`,
  );
}

export function sentencesOf(text: string): string[] {
  const sentences: string[] = [];
  for (const { segment } of new Intl.Segmenter('en', { granularity: 'sentence' }).segment(text)) {
    const sentence = segment.replaceAll(/\s+/g, ' ').trim();
    if (/\p{L}/u.test(sentence)) sentences.push(sentence);
  }
  return sentences;
}

/** The places of the sentences, best first. */
export function rankSentences(sentences: readonly string[]): number[] {
  const counts = new Map<string, number>();
  const words = sentences.map(wordsOf);
  for (const word of words.flat()) counts.set(word, (counts.get(word) ?? 0) + 1);
  const scores = words.map((list, index) => {
    const weight = list.reduce((sum, word) => sum + Math.log(1 + (counts.get(word) ?? 0)), 0);
    // Without the root, one-word sentences win; with the plain sum, the longest.
    return weight / Math.sqrt(list.length || 1) + (index === 0 ? 0.5 : 0);
  });
  return [...sentences.keys()].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
}

const COMMON = new Set(
  'a an and are as at be been but by can did do does for from had has have he her his how i if in into is it its may more not of on or our she so than that the their them there they this to was we were what when which who will with would you your'.split(
    ' ',
  ),
);

function wordsOf(sentence: string): string[] {
  return (sentence.toLowerCase().match(/\p{L}[\p{L}\p{N}'’-]*/gu) ?? []).filter((word) => !COMMON.has(word));
}
