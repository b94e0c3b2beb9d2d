/** Finds entities such as emails and dates in a text by simple patterns. */
const patterns = {
  email: /[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g,
  url: /\bhttps?:\/\/[^\s<>"')\]]*[^\s<>"')\].,;:!?]/g,
  date: /\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b(?:\d{1,2}(?:st|nd|rd|th)?\s+)?(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?\s+\d{1,4}(?:st|nd|rd|th)?(?:,?\s+\d{4})?\b/g,
  phone: /\+\d[\d ()-]{6,}\d/g,
  number: /(?<![\w.])[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w.]*\w)/g,
  name: /\b(?!(?:The|This|That|These|Those|An?|In|On|At|From|Please|Dear|Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)\b)\p{Lu}\p{Ll}+(?:[ -](?:(?:van|von|de|der|la|di)\s)?\p{Lu}\p{Ll}+)+/gu,
} as const;

export type EntityKind = keyof typeof patterns;

/** Returns the distinct entities of a kind, in the order of the text. */
export function findEntities(kind: EntityKind, text: string): string[] {
  const searchable = kind === 'number' ? removeEntities(['email', 'url', 'date', 'phone'], text) : text;
  return [...new Set(searchable.match(patterns[kind]) ?? [])];
}

/** Removes other entities, so the digits of a date or a telephone number do not count as numbers. */
function removeEntities(kinds: readonly EntityKind[], text: string): string {
  return kinds.reduce((left, kind) => left.replaceAll(patterns[kind], ' '), text);
}

export function toNumber(text: string): number {
  return Number(text.replaceAll(',', ''));
}

/** Returns the text after a label, as in `Total: 12 EUR` or `invoice number = A-17`. */
export function findLabelledValue(label: string, text: string): string | undefined {
  const words = splitWords(label)
    .map((word) => word.replaceAll(/[^\p{L}\p{N}]/gu, ''))
    .filter(Boolean);
  if (words.length === 0) return undefined;
  const match = new RegExp(
    `(?:^|[^\\p{L}])${words.join('[\\s_-]*')}\\s*(?:is|[:=])\\s*([^\\n;]+)`,
    'iu',
  ).exec(text);
  return match?.[1]?.trim().replace(/[.,]$/, '');
}

/** Splits an identifier: `invoiceNumber`, `invoice_number` and `invoice-number` have the same two words. */
export function splitWords(identifier: string): string[] {
  return identifier
    .replaceAll(/([\p{Ll}\d])(\p{Lu})/gu, '$1 $2')
    .toLowerCase()
    .split(/[\s_.:-]+/)
    .filter((word) => word !== '');
}
