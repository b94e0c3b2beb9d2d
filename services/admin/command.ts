/** What a command of `npm run admin` is. */
import type { Db } from '#shared/db/client/pool.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';

export interface AdminCommand {
  /** One line: arguments, and what it does. */
  usage: string;
  run: (context: CommandContext) => Promise<void>;
}

export interface CommandContext {
  db: Db;
  env: Environment;
  args: readonly string[];
  print: (line: string) => void;
}

/** What the operator has to know or to do otherwise. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
}
