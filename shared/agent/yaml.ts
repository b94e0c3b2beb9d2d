/** YAML with places: where in the text each value, or the name of each field, stands. */
import { isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from 'yaml';

export interface Place {
  /** From 1. */
  line: number;
  column: number;
}

export interface ParsedYaml {
  value: unknown;
  problems: (Place & { message: string })[];
  /** The place of a value, or (`key`) of its name; of the nearest value around it where there is none. */
  placeOf(path: readonly (string | number)[], key?: boolean): Place;
}

export function parseYaml(text: string): ParsedYaml {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true });
  const placeAt = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset);
    return { line, column: col };
  };
  const problems = [...document.errors, ...document.warnings].map((error) => ({
    ...placeAt(error.pos[0]),
    message: error.message,
  }));
  return {
    value: problems.length === 0 ? document.toJS() : undefined,
    problems,
    placeOf(path, key = false) {
      for (let length = path.length; length >= 0; length -= 1) {
        const here = path.slice(0, length);
        const offset = key && length === path.length ? keyOffset(here) : nodeOffset(here);
        if (offset !== undefined) return placeAt(offset);
      }
      return { line: 1, column: 1 };
    },
  };

  function nodeOffset(path: readonly (string | number)[]): number | undefined {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    return isNode(node) ? node.range?.[0] : undefined;
  }

  function keyOffset(path: readonly (string | number)[]): number | undefined {
    const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
    if (!isMap(parent)) return undefined;
    const pair = parent.items.find(
      (item) => isPair(item) && isScalar(item.key) && item.key.value === path.at(-1),
    );
    return isScalar(pair?.key) ? pair.key.range?.[0] : undefined;
  }
}
