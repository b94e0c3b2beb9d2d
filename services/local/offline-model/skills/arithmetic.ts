/**
 * A recursive-descent parser for arithmetic:
 *
 *   sum     = product (('+' | '-') product)*
 *   product = power (('*' | '/' | '%') power)*
 *   power   = unary ('^' power)?
 *   unary   = ('-' | '+') unary | postfix
 *   postfix = (number | '(' sum ')' | 'sqrt' unary) '%'?       '%' without an operand after it means per cent
 */
const tokenPattern = /\s*(\d[\d,]*(?:\.\d+)?|\.\d+|sqrt|[-+*/%^()×÷])/y;
const maxDepth = 100;

/** Returns undefined if the text is not an expression. */
export function evaluate(expression: string): number | undefined {
  const tokens = tokenize(expression);
  if (tokens === undefined || tokens.length === 0) return undefined;
  try {
    const parser = new Parser(tokens);
    const result = parser.sum();
    return parser.done ? result : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function tokenize(expression: string): string[] | undefined {
  const tokens: string[] = [];
  const text = expression.trim();
  tokenPattern.lastIndex = 0;
  while (tokenPattern.lastIndex < text.length) {
    const token = tokenPattern.exec(text)?.[1];
    if (token === undefined) return undefined;
    tokens.push(token === '×' ? '*' : token === '÷' ? '/' : token);
  }
  return tokens;
}

class Parser {
  readonly #tokens: readonly string[];
  #at = 0;
  #depth = 0;

  constructor(tokens: readonly string[]) {
    this.#tokens = tokens;
  }

  get done(): boolean {
    return this.#at === this.#tokens.length;
  }

  sum(): number {
    let left = this.#product();
    for (;;) {
      if (this.#take('+')) left += this.#product();
      else if (this.#take('-')) left -= this.#product();
      else return left;
    }
  }

  #product(): number {
    let left = this.#power();
    for (;;) {
      if (this.#take('*')) left *= this.#power();
      else if (this.#take('/')) left /= this.#power();
      else if (this.#take('%')) left %= this.#power();
      else return left;
    }
  }

  #power(): number {
    const base = this.#unary();
    return this.#take('^') ? base ** this.#power() : base;
  }

  #unary(): number {
    if ((this.#depth += 1) > maxDepth) throw new SyntaxError('nested too deeply');
    try {
      if (this.#take('-')) return -this.#unary();
      if (this.#take('+')) return this.#unary();
      return this.#postfix();
    } finally {
      this.#depth -= 1;
    }
  }

  #postfix(): number {
    const operand = this.#operand();
    const next = this.#tokens[this.#at + 1];
    if (this.#tokens[this.#at] === '%' && (next === undefined || !/^[\d.(s]/.test(next))) {
      this.#at += 1;
      return operand / 100;
    }
    return operand;
  }

  #operand(): number {
    if (this.#take('(')) {
      const inner = this.sum();
      if (!this.#take(')')) throw new SyntaxError('a bracket is not closed');
      return inner;
    }
    if (this.#take('sqrt')) return Math.sqrt(this.#unary());
    const number = Number(this.#tokens[this.#at]?.replaceAll(',', ''));
    if (Number.isNaN(number)) throw new SyntaxError('a number is missing');
    this.#at += 1;
    return number;
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at += 1;
    return true;
  }
}
