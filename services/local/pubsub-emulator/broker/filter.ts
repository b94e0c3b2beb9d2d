/**
 * Parses the filter language of subscriptions (cloud.google.com/pubsub/docs/subscription-message-filter):
 *
 *     filter     := term (AND term)* | term (OR term)*        mixing both requires parentheses
 *     term       := NOT term | "(" filter ")" | comparison
 *     comparison := attributes ":" key | attributes "." key ("=" | "!=") string
 *                 | hasPrefix "(" attributes "." key "," string ")"
 *
 * `!=` negates `=`, so a message without the attribute passes.
 */
import { invalid } from '../../emulator/status.ts';

type Attributes = Readonly<Record<string, string>>;
export type Filter = (attributes: Attributes) => boolean;

const maxBytes = 256;
const tokenPattern = /\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z0-9_-]+)|(!=|[=:.,()])|$)/y;

/** @throws {StatusError} INVALID_ARGUMENT, with the position of the error */
export function parseFilter(source: string): Filter {
  if (Buffer.byteLength(source) > maxBytes) {
    throw invalid(`The filter is too long: at most ${maxBytes} bytes are allowed.`);
  }
  const parser = new Parser(source);
  const filter = parser.expression();
  parser.expect('', 'AND, OR or the end of the filter');
  return filter;
}

class Parser {
  readonly #source: string;
  #at = 0;
  #token = '';
  #next = 0;

  constructor(source: string) {
    this.#source = source;
    this.#advance();
  }

  expression(): Filter {
    const terms = [this.#term()];
    const operator = this.#token;
    if (operator !== 'AND' && operator !== 'OR')
      return (attributes) => terms.every((term) => term(attributes));
    while (this.#take(operator)) terms.push(this.#term());
    if (this.#token === 'AND' || this.#token === 'OR')
      throw this.#error('parentheses around mixed AND and OR');
    return operator === 'AND'
      ? (attributes) => terms.every((term) => term(attributes))
      : (attributes) => terms.some((term) => term(attributes));
  }

  /**
   * Consumes `token`, or fails if the next token is another one. The empty token is the end of the filter.
   */
  expect(token: string, expected = `"${token}"`): void {
    if (!this.#take(token)) throw this.#error(expected);
  }

  #term(): Filter {
    if (this.#take('NOT')) {
      const negated = this.#term();
      return (attributes) => !negated(attributes);
    }
    if (this.#take('(')) {
      const inner = this.expression();
      this.expect(')');
      return inner;
    }
    if (this.#take('hasPrefix')) {
      this.expect('(');
      const key = this.#attribute();
      this.expect(',');
      const prefix = this.#string();
      this.expect(')');
      return (attributes) => Object.hasOwn(attributes, key) && attributes[key]?.startsWith(prefix) === true;
    }
    return this.#comparison();
  }

  #comparison(): Filter {
    this.expect('attributes', 'NOT, "(", hasPrefix or attributes');
    if (this.#take(':')) {
      const key = this.#key();
      return (attributes) => Object.hasOwn(attributes, key);
    }
    this.expect('.', '":" or "."');
    const key = this.#key();
    if (this.#take('=')) {
      const value = this.#string();
      return (attributes) => Object.hasOwn(attributes, key) && attributes[key] === value;
    }
    this.expect('!=', '"=" or "!="');
    const value = this.#string();
    return (attributes) => !Object.hasOwn(attributes, key) || attributes[key] !== value;
  }

  #attribute(): string {
    this.expect('attributes');
    this.expect('.');
    return this.#key();
  }

  #key(): string {
    if (this.#token.startsWith('"')) return this.#string();
    if (!/^[A-Za-z0-9_-]+$/.test(this.#token)) throw this.#error('the name of an attribute');
    const key = this.#token;
    this.#advance();
    return key;
  }

  #string(): string {
    if (!this.#token.startsWith('"')) throw this.#error('a string in double quotes');
    const text = unescape(this.#token.slice(1, -1));
    this.#advance();
    return text;
  }

  #take(token: string): boolean {
    if (this.#token !== token) return false;
    if (token !== '') this.#advance();
    return true;
  }

  #advance(): void {
    tokenPattern.lastIndex = this.#next;
    const match = tokenPattern.exec(this.#source);
    if (!match) {
      this.#at = this.#next;
      this.#token = this.#source.slice(this.#next).trim().charAt(0);
      throw this.#error('a filter expression');
    }
    this.#token = match[1] ?? match[2] ?? match[3] ?? '';
    this.#next = tokenPattern.lastIndex;
    this.#at = this.#next - this.#token.length;
  }

  #error(expected: string): Error {
    const found = this.#token === '' ? 'the end' : this.#token;
    return invalid(`Invalid filter: expected ${expected} at character ${this.#at + 1}, found ${found}.`);
  }
}

const escapePattern = /\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-7]{1,3})|(.))/gsu;
const controlCharacters: Record<string, string> = { n: '\n', r: '\r', t: '\t', b: '\b', f: '\f' };

function unescape(text: string): string {
  return text.replace(escapePattern, (_, unicode?: string, hex?: string, octal?: string, plain?: string) => {
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    const code = unicode ?? hex;
    if (code !== undefined) return String.fromCharCode(Number.parseInt(code, 16));
    return controlCharacters[plain ?? ''] ?? plain ?? '';
  });
}
