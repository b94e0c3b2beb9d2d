/** Parses YAML and finds the position of each value and of each field name in the text. */
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';

export interface Position {
  /** From 1. */
  line: number;
  column: number;
}

export interface ParsedYaml {
  value: unknown;
  problems: (Position & { message: string })[];
  /**
   * Returns the position of a value, or of its name (`key`). For a missing value, returns the position of the
   * nearest enclosing value.
   */
  getPosition(path: readonly (string | number)[], key?: boolean): Position;
}

export function parseYaml(text: string): ParsedYaml {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true });
  const toPosition = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line, column: col };
  };
  const problems = [...document.errors, ...document.warnings].map((error) => ({
    ...toPosition(error.pos[0]),
    message: error.message,
  }));
  return {
    value: problems.length === 0 ? document.toJS() : undefined,
    problems,
    getPosition(path, key = false) {
      for (let length = path.length; length >= 0; length -= 1) {
        const prefix = path.slice(0, length);
        const offset = key && length === path.length ? getKeyOffset(prefix) : getNodeOffset(prefix);
        if (offset !== undefined) return toPosition(offset);
      }
      return { line: 1, column: 1 };
    },
  };

  function getNodeOffset(path: readonly (string | number)[]): number | undefined {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    return isNode(node) ? node.range?.[0] : undefined;
  }

  function getKeyOffset(path: readonly (string | number)[]): number | undefined {
    const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
    if (!isMap(parent)) return undefined;
    const pair = parent.items.find(
      (item) => isPair(item) && isScalar(item.key) && item.key.value === path.at(-1),
    );
    return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
  }
}
