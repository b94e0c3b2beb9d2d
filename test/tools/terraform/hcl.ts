/** Reads the blocks of Terraform's language (HCL) and the names of their attributes. Expressions are skipped, not evaluated. */
export interface Block {
  type: string;
  labels: string[];
  /** Names of attributes, each with the text of its expression. */
  attributes: Map<string, string>;
  blocks: Block[];
}

/** @throws {Error} if the text is not what this reader knows: no heredocs, no one-line blocks with several attributes */
export function parseHcl(text: string): Block[] {
  const reader = new Reader(text);
  const body = reader.readBody(false);
  return body.blocks;
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** @param nested ends at a brace instead of the end of the text */
  readBody(nested: boolean): Pick<Block, 'attributes' | 'blocks'> {
    const attributes = new Map<string, string>();
    const blocks: Block[] = [];
    for (;;) {
      this.#skipSpace();
      if (this.#at >= this.#text.length) {
        if (nested) throw new Error('a block is not closed');
        return { attributes, blocks };
      }
      if (nested && this.#text[this.#at] === '}') {
        this.#at += 1;
        return { attributes, blocks };
      }
      const name = this.#match(/[A-Za-z_][\w-]*/y);
      this.#match(/[ \t]*/y);
      if (this.#text[this.#at] === '=') {
        this.#at += 1;
        attributes.set(name, this.#readExpression());
      } else {
        blocks.push(this.#readBlock(name));
      }
    }
  }

  #readBlock(type: string): Block {
    const labels: string[] = [];
    for (;;) {
      this.#match(/[ \t]*/y);
      if (this.#text[this.#at] === '{') break;
      labels.push(this.#match(/"[^"]*"|[\w-]+/y).replaceAll('"', ''));
    }
    this.#at += 1;
    return { type, labels, ...this.readBody(true) };
  }

  /** Reads to the end of the line, or of the brackets that it opens. */
  #readExpression(): string {
    const start = this.#at;
    let depth = 0;
    for (; this.#at < this.#text.length; this.#at += 1) {
      const char = this.#text[this.#at]!;
      if (char === '"') this.#skipString();
      else if ('([{'.includes(char)) depth += 1;
      else if (')]}'.includes(char) && depth === 0) break;
      else if (')]}'.includes(char)) depth -= 1;
      else if (char === '\n' && depth === 0) break;
      else if (char === '#') this.#match(/[^\n]*/y, -1);
    }
    return this.#text.slice(start, this.#at).trim();
  }

  /** Leaves the reader at the closing quote. Interpolations may have strings of their own. */
  #skipString(): void {
    for (this.#at += 1; this.#text[this.#at] !== '"'; this.#at += 1) {
      if (this.#at >= this.#text.length) throw new Error('a string is not closed');
      if (this.#text[this.#at] === '\\') this.#at += 1;
      else if (this.#text.startsWith('${', this.#at)) {
        this.#at += 2;
        for (let depth = 1; depth > 0; this.#at += 1) {
          const char = this.#text[this.#at];
          if (char === undefined) throw new Error('an interpolation is not closed');
          if (char === '"') this.#skipString();
          else if (char === '{') depth += 1;
          else if (char === '}') depth -= 1;
        }
        this.#at -= 1;
      }
    }
  }

  #skipSpace(): void {
    this.#match(/(?:\s|#[^\n]*)*/y);
  }

  #match(pattern: RegExp, offset = 0): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) {
      const line = this.#text.slice(0, this.#at).split('\n').length;
      throw new Error(`line ${line}: expected ${pattern.source}`);
    }
    this.#at += found.length + offset;
    return found;
  }
}
