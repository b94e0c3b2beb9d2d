/** LangGraph's own tests of checkpointers, on a saver whose every read is served from what it has recorded. */
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { format } from 'node:util';
import type { RunnableConfig } from '@langchain/core/runnables';
import type { CheckpointListOptions, CheckpointTuple } from '@langchain/langgraph-checkpoint';
import { TurnSaver, type ThreadEntry } from 'longhaul/langgraph';

class RestoredSaver extends TurnSaver {
  readonly #recorded: string[];

  constructor(recorded: string[] = []) {
    super({ append: async (entry) => void recorded.push(JSON.stringify(entry)) });
    this.#recorded = recorded;
  }

  #restore(): TurnSaver {
    const entries = this.#recorded.map((entry) => JSON.parse(entry) as ThreadEntry);
    return new TurnSaver({ entries, append: async () => undefined });
  }

  override async getTuple(config: RunnableConfig): Promise<CheckpointTuple | undefined> {
    return this.#restore().getTuple(config);
  }

  override list(config: RunnableConfig, options?: CheckpointListOptions): AsyncGenerator<CheckpointTuple> {
    return this.#restore().list(config, options);
  }
}

/** The tests are written for vitest. The lowest versions have none. */
const validation = await import('@langchain/langgraph-checkpoint-validation').catch(() => undefined);
if (validation !== undefined) {
  const { expect } = await import('expect');
  const each =
    (define: (name: string, run: () => void) => unknown) =>
    (cases: readonly unknown[]) =>
    (name: string, run: (...values: unknown[]) => void): void => {
      for (const values of cases) define(format(name, ...[values].flat()), () => run(...[values].flat()));
    };
  Object.assign(globalThis, {
    describe: Object.assign((name: string, run: () => void) => void describe(name, run), {
      each: each((name, run) => void describe(name, run)),
    }),
    it: Object.assign((name: string, run: () => Promise<void>) => void it(name, () => run()), {
      each: each((name, run) => void it(name, () => run())),
      skip: (name: string) => void it.skip(name),
    }),
    beforeAll: (run: () => Promise<void>) => before(() => run()),
    afterAll: (run: () => Promise<void>) => after(() => run()),
    beforeEach: (run: () => Promise<void>) => beforeEach(() => run()),
    afterEach: (run: () => Promise<void>) => afterEach(() => run()),
    expect: Object.assign(expect, { soft: expect }),
  });
  const initializer = { checkpointerName: 'TurnSaver', createCheckpointer: () => new RestoredSaver() };
  validation.validate(initializer);
  validation.deltaChannelHistoryTests(initializer);
}
