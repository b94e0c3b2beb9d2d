/** The interface of the commands of `npm run admin`. */
import type { Db } from '#shared/db/client/pool.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';

export interface AdminCommand {
  /** One line: the arguments, then the purpose. */
  usage: string;
  /** Returns numbers for the audit log, if it has some. */
  run: (context: CommandContext) => Promise<Readonly<Record<string, unknown>> | void>;
}

export interface CommandContext {
  db: Db;
  env: Environment;
  args: readonly string[];
  print: (line: string) => void;
}

/**
 * Reports invalid arguments, or a result that needs the operator's attention. Printed without a stack trace.
 */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
