/** The list of a server's tools, without those that cannot be used. It is read again after a minute. */
import type { Tool } from '@modelcontextprotocol/client';
import { readMark } from './messages.ts';
import { findSchemaProblem } from './schemas.ts';
import { databaseNow } from '#shared/runtime/clock.ts';

export interface ToolList {
  tools: Tool[];
  /** Tools that cannot be used, with the reason. */
  leftOut: { name: string; reason: string }[];
}

const lifetimeMs = 60_000;

export class CachedToolList {
  readonly #read: () => Promise<Tool[]>;
  #last: { at: number; reading: Promise<ToolList> } | undefined;
  #lastGood: ToolList | undefined;

  constructor(read: () => Promise<Tool[]>) {
    this.#read = read;
  }

  /** The newest list that could be read. */
  get lastGood(): ToolList | undefined {
    return this.#lastGood;
  }

  /** Concurrent callers share one request. */
  get(): Promise<ToolList> {
    const last = this.#last;
    if (last !== undefined && databaseNow() - last.at < lifetimeMs) return last.reading;
    const started = { at: databaseNow(), reading: this.#read().then(toToolList) };
    this.#last = started;
    started.reading.then(
      (list) => (this.#lastGood = list),
      () => {
        if (this.#last === started) this.#last = undefined;
      },
    );
    return started.reading;
  }

  /** The next `get` reads the list again. */
  expire(): void {
    this.#last = undefined;
  }
}

function toToolList(listed: readonly Tool[]): ToolList {
  const list: ToolList = { tools: [], leftOut: [] };
  for (const tool of listed) {
    const reason = readMark(tool) ?? findSchemaProblem(tool);
    if (reason === undefined) list.tools.push(tool);
    else list.leftOut.push({ name: tool.name, reason });
  }
  return list;
}
