/** Answers the messages of the parent process, one at a time, until the parent ends. */
export function serveParent(answer: (message: never) => Promise<object>): void {
  process.channel?.ref();
  process.on('message', (message) => {
    answer(message as never).then(
      (result) => process.send?.(result),
      (error: unknown) => process.send?.({ error: String(error) }),
    );
  });
}
