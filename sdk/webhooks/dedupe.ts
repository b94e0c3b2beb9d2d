/** Handles each event once, although it may arrive more than once. */

export interface WebhookDedupe {
  /**
   * Calls `handle` unless an event of this id was handled before. Two calls for one id must not both handle it: the
   * second waits for the first. If `handle` rejects, the id counts as not handled, and `once` rejects.
   *
   * With a database, store the id and the effects of the event in one transaction (docs/use/webhooks.md).
   */
  once(id: string, handle: () => Promise<void>): Promise<'handled' | 'repeated'>;
}

/**
 * Remembers ids in this process only: after a restart, and in other processes, an event may be handled again.
 *
 * @param options.maxIds the oldest of more ids are forgotten. Default: 100,000
 */
export function createMemoryDedupe({ maxIds = 100_000 }: { maxIds?: number } = {}): WebhookDedupe {
  const handled = new Map<string, Promise<void>>();
  return {
    once: async (id, handle) => {
      const earlier = handled.get(id);
      if (earlier !== undefined) {
        await earlier;
        return 'repeated';
      }
      const handling = handle();
      handled.set(id, handling);
      for (const oldest of handled.keys()) {
        if (handled.size <= maxIds) break;
        handled.delete(oldest);
      }
      try {
        await handling;
      } catch (error) {
        handled.delete(id);
        throw error;
      }
      return 'handled';
    },
  };
}
