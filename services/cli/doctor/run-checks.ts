/** Runs all checks of the doctor, in order. */
import { environment } from '#shared/runtime/config/environment.ts';
import type { Target } from '../settings/settings.ts';
import { checkAgent } from './agent.ts';
import type { Finding } from './check.ts';
import { checkGoogle } from './google.ts';
import { checkInstallScripts, checkNode, checkNpm } from './machine.ts';

/** @param task whether to send a task; undefined: only to an agent on this machine */
export async function* runChecks(
  target: Target,
  task: boolean | undefined,
): AsyncGenerator<readonly Finding[], void, undefined> {
  yield [checkNode(), await checkNpm(), checkInstallScripts()];
  // Loads the client of the database, which no other command needs.
  const { checkDatabase } = await import('./database.ts');
  yield await checkDatabase(environment);
  yield await checkGoogle(environment);
  yield await checkAgent(target, task);
}
