/** How commands end: the exit status, and errors that are printed as one message without a stack trace. */

/** The exit status of every command; scripts rely on these numbers. */
export const exitStatus = { done: 0, failed: 1, usage: 2, inputRequired: 3, timedOut: 4 } as const;
export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

/** An error whose message says what was wrong and what to do. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly status: ExitStatus;

  /** @param status default: the command failed */
  constructor(
    message: string,
    { status = exitStatus.failed, cause }: { status?: ExitStatus; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.status = status;
  }
}

/** A wrong argument, option or setting. */
export function usageError(message: string): CliError {
  return new CliError(message, { status: exitStatus.usage });
}
