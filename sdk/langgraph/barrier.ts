/**
 * Nothing of a graph starts before all that has ended is recorded. With `durability: 'sync'`, LangGraph 1.7 waits for its
 * checkpointer between supersteps, but not between tasks of the functional API, and LangGraph 1.0 not at all: the call of a
 * model could be repeated although a later one has started.
 */
import { BaseCallbackHandler } from '@langchain/core/callbacks/base';

export class RecordBarrier extends BaseCallbackHandler {
  override readonly name = 'LonghaulRecord';
  readonly #settled: () => Promise<void>;

  /** @param settled resolves when all is recorded. An error keeps the node, model or tool from starting */
  constructor(settled: () => Promise<void>) {
    super({ raiseError: true, _awaitHandler: true });
    this.#settled = settled;
  }

  /** Nodes and tasks. */
  override handleChainStart(): Promise<void> {
    return this.#settled();
  }

  override handleChatModelStart(): Promise<void> {
    return this.#settled();
  }

  override handleLLMStart(): Promise<void> {
    return this.#settled();
  }

  override handleRetrieverStart(): Promise<void> {
    return this.#settled();
  }

  override handleToolStart(): Promise<void> {
    return this.#settled();
  }
}
