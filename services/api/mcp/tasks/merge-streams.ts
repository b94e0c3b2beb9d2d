/** Yields what several generators yield, as it comes. Each waits until its item has been taken. */
export async function* mergeStreams<T>(
  streams: readonly AsyncGenerator<T, void, undefined>[],
): AsyncGenerator<T, void, undefined> {
  const ready: { item: T; taken: () => void }[] = [];
  let open = streams.length;
  let failure: { error: unknown } | undefined;
  let isStopped = false;
  let wake = (): void => undefined;

  async function read(stream: AsyncGenerator<T, void, undefined>): Promise<void> {
    try {
      for await (const item of stream) {
        const { promise, resolve } = Promise.withResolvers<void>();
        ready.push({ item, taken: resolve });
        wake();
        await promise;
        if (isStopped) return;
      }
    } catch (error) {
      failure ??= { error };
    } finally {
      open -= 1;
      wake();
    }
  }

  for (const stream of streams) void read(stream);
  try {
    for (;;) {
      const next = ready.shift();
      if (next !== undefined) {
        yield next.item;
        next.taken();
      } else if (failure !== undefined) {
        throw failure.error;
      } else if (open === 0) {
        return;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    isStopped = true;
    for (const { taken } of ready) taken();
  }
}
