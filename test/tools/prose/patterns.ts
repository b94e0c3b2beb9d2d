/**
 * The phrases that `npm run check:prose` reports, each with what to write instead. The list is short on purpose: every
 * entry is a turn of phrase that readers stumble over, and has an everyday replacement.
 */

export interface ProsePattern {
  name: string;
  /** Matched against running text: comments, messages and pages without code. Always global. */
  pattern: RegExp;
  advice: string;
}

/** The start of a text, of a sentence, of a list item or of a table cell. */
const sentenceStart = String.raw`(?<=^|[.!?:]["')]* |[*#|-] )`;

export const patterns: readonly ProsePattern[] = [
  {
    name: 'stand',
    pattern: /\b(?:stands?|stood|standing)\b(?!-| for\b| in for\b| still\b| out\b)/gi,
    advice: 'use "is", "lives" or "is served"',
  },
  {
    name: 'tell',
    pattern: /\b(?:tells?|told|telling)\b(?! (?:me|us|(?:\w+ )?apart)\b)/gi,
    advice: 'use "report", "return", "show" or "explain"',
  },
  {
    name: 'go-on',
    pattern: /\b(?:go|goes|going|gone|went) on\b/gi,
    advice: 'use "continue" or "resume"',
  },
  {
    name: 'begin',
    pattern: /\b(?:[Bb]egins?|[Bb]egan|[Bb]egun|[Bb]eginning)\b/g,
    advice: 'use "start"',
  },
  { name: 'anew', pattern: /\banew\b/gi, advice: 'use "again"' },
  { name: 'beside', pattern: /\bbesides?\b/gi, advice: 'use "next to", "with" or "also"' },
  { name: 'also-if', pattern: /\balso (?:if|where|when)\b/gi, advice: 'use "even if" or "including when"' },
  {
    name: 'is-no',
    pattern: /(?<!\bthere )\b(?:is|are|was|were) no\b(?! (?:longer|more|less|later|earlier)\b)/gi,
    advice: 'use "is not a" or "has no"',
  },
  {
    name: 'is-to-be',
    pattern: /\b(?:is|are|was|were) to be\b/gi,
    advice: 'use "must be", "will be" or the active voice',
  },
  {
    name: 'whoever',
    pattern: /(?<!")\b(?:whoever|whosoever|whatever|wherever|nobody|somebody|thereof|thereby)\b/gi,
    advice: 'name the thing: "the caller", "any value", "no process"',
  },
  {
    name: 'sentence-start',
    // A question may start with "What" or "Who".
    pattern: new RegExp(`${sentenceStart}(?:(?:What|Who) (?![^.!?]*\\?)|(?:Whoever|Of|As) )`, 'g'),
    advice: 'start with the subject, then the verb',
  },
  {
    name: 'at-most',
    pattern: /\b\d[\d,]* \w+ at (?:most|least)\b(?! \d)|\bat (?:most|least)(?=[.,;)])/gi,
    advice: 'put "at most" before the number',
  },
  {
    name: 'where',
    pattern: new RegExp(
      String.raw`\b[wW]here (?:it|there|an?|the|no|nothing|none|they|that|this|one|both|neither) ` +
        String.raw`(?:is|are|has|have|was|were|does|do|needs|names)\b`,
      'g',
    ),
    advice: 'for a condition use "if" or "when"',
  },
  {
    name: 'archaic',
    pattern:
      /\b(?:reckon(?:s|ed|ing)?|heeds?|heeded|lest|henceforth|whilst|thus|hence|shall|rings?|rang|rung|doorbells?|bells?|dear|patience)\b/gi,
    advice: 'use an everyday word or the term of the field',
  },
];
