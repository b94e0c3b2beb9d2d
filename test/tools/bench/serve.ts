/** A process that does what its parent asks for, one thing at a time, until the parent ends. */
export function serve(answer: (message: never) => Promise<object>): void {
  process.channel?.ref();
  process.on('message', (message) => {
    answer(message as never).then(
      (result) => process.send?.(result),
      (error: unknown) => process.send?.({ error: String(error) }),
    );
  });
}
