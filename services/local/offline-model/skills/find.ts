/** Simple rules that find things in a text: in the order in which they stand, each once. */
const patterns = {
  email: /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g,
  url: /\bhttps?:\/\/[^\s<>"')\]]*[^\s<>"')\].,;:!?]/g,
  date: /\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b(?:\d{1,2}(?:st|nd|rd|th)?\s+)?(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?\s+\d{1,4}(?:st|nd|rd|th)?(?:,?\s+\d{4})?\b/g,
  phone: /\+\d[\d ()-]{6,}\d/g,
  number: /(?<![\w.])[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.]*\w)/g,
  name: /\b(?!(?:The|This|That|These|Those|An?|In|On|At|From|Please|Dear|Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)\b)\p{Lu}\p{Ll}+(?:[ -](?:(?:van|von|de|der|la|di)\s)?\p{Lu}\p{Ll}+)+/gu,
} as const;

export type Kind = keyof typeof patterns;

export function find(kind: Kind, text: string): string[] {
  const searched = kind === 'number' ? without(['email', 'url', 'date', 'phone'], text) : text;
  return [...new Set(searched.match(patterns[kind]) ?? [])];
}

/** The digits of a date or a telephone number are no numbers. */
function without(kinds: readonly Kind[], text: string): string {
  return kinds.reduce((left, kind) => left.replaceAll(patterns[kind], ' '), text);
}

export function toNumber(text: string): number {
  return Number(text.replaceAll(',', ''));
}

/** What stands after a label: `Total: 12 EUR`, `invoice number = A-17`. */
export function labelled(label: string, text: string): string | undefined {
  const words = wordsOf(label)
    .map((word) => word.replaceAll(/[^\p{L}\p{N}]/gu, ''))
    .filter(Boolean);
  if (words.length === 0) return undefined;
  const match = new RegExp(
    `(?:^|[^\\p{L}])${words.join('[\\s_-]*')}\\s*(?:is|[:=])\\s*([^\\n;]+)`,
    'iu',
  ).exec(text);
  return match?.[1]?.trim().replace(/[.,]$/, '');
}

/** `invoiceNumber`, `invoice_number` and `invoice-number` are the same two words. */
export function wordsOf(identifier: string): string[] {
  return identifier
    .replaceAll(/([\p{Ll}\d])(\p{Lu})/gu, '$1 $2')
    .toLowerCase()
    .split(/[\s_.:-]+/)
    .filter((word) => word !== '');
}
