/** Runs one of the commands in this folder on the configured database, or else on that of `npm start`. */
import { hostname, userInfo } from 'node:os';
import { openDatabase } from '#shared/db/client/pool.ts';
import { openContents } from '#shared/db/contents/open.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { createAuditLog } from '#shared/runtime/audit.ts';
import { stopAuthProxy } from '#shared/runtime/auth-proxy.ts';
import type { Environment } from '#shared/runtime/config/env-reader.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { withLocalStack } from '#shared/runtime/config/local-stack.ts';
import { readAdminConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { CommandError, type AdminCommand } from './command.ts';
import { createContractCommand } from './contract.ts';
import { drainCommand } from './drain.ts';
import { dropSecretsCommand } from './drop-secrets.ts';
import { exportCommand } from './export.ts';
import { forgetCommand } from './forget.ts';
import { limitsCommand } from './limits/command.ts';
import { outcomesCommand } from './outcomes.ts';
import { reencryptCommand } from './reencrypt.ts';
import { undeletedCommand } from './undeleted.ts';
import { usageCommand } from './usage.ts';
import { versionsCommand } from './versions.ts';
import { webhooksCommand } from './webhooks.ts';

const commands: ReadonlyMap<string, AdminCommand> = new Map([
  ['webhooks', webhooksCommand],
  ['usage', usageCommand],
  ['versions', versionsCommand],
  ['outcomes', outcomesCommand],
  ['drain', drainCommand],
  ['contract', createContractCommand()],
  ['reencrypt', reencryptCommand],
  ['drop-secrets', dropSecretsCommand],
  ['limits', limitsCommand],
  ['export', exportCommand],
  ['forget', forgetCommand],
  ['undeleted', undeletedCommand],
]);

/** The parts of its process that a command uses. */
export interface CommandProcess {
  environment: Environment;
  print: (line: string) => void;
  printError: (line: string) => void;
}

export const thisProcess: CommandProcess = {
  environment,
  print: (line) => process.stdout.write(`${line}\n`),
  printError: (line) => process.stderr.write(`${line}\n`),
};

/**
 * Ends the process with status 78 if the configuration is invalid.
 *
 * @returns the exit status: 0 for success, 1 if the command failed, 2 if the command is unknown
 */
export async function runAdmin(
  name: string,
  args: readonly string[],
  { environment: variables, print, printError }: CommandProcess = thisProcess,
): Promise<number> {
  const command = commands.get(name);
  if (command === undefined) {
    if (name !== '') print(`${name} is not a command. Expected one of these:\n`);
    print('npm run admin -- <command>\n');
    for (const [each, { usage }] of commands) print(`  ${each.padEnd(14)}${usage}`);
    return 2;
  }
  const secrets = await secretsOrExit(() => openSecretVariables(variables));
  const env = withLocalStack(secrets.env);
  const { database, auditLog, contents, authProxyQuitUrl } = configOrExit(() => readAdminConfig(env));
  // The output of commands may be read by programs.
  const audit = createAuditLog('admin', auditLog === 'stdout' ? 'stderr' : auditLog, (error) => {
    printError(`audit entry not written: ${errorMessage(error)}`);
  });
  const entry = {
    action: `admin ${name}`,
    owner: `${userInfo().username}@${hostname()}`,
    details: { arguments: args },
  };
  const { db, pool } = openDatabase({
    database,
    queryTimeoutMs: 60_000,
    applicationName: 'longhaul-admin',
  });
  const checkContents = openContents(db, contents);
  try {
    // Others do not read contents.
    if (name === 'export') await checkContents();
    const receipt = await command.run({ db, env, args, print });
    audit.write({ ...entry, result: 'ok', details: { arguments: args, ...receipt } });
    return 0;
  } catch (error) {
    const isRefused = error instanceof CommandError;
    audit.write({ ...entry, result: isRefused ? 'refused' : 'failed', reason: toErrorName(error) });
    printError(error instanceof CommandError ? error.message : `failed: ${errorMessage(error)}`);
    return 1;
  } finally {
    await Promise.all([pool.end(), secrets.close()]);
    await stopAuthProxy(authProxyQuitUrl, (error) => {
      printError(`the Auth Proxy was not stopped: ${errorMessage(error)}`);
    });
  }
}

function toErrorName(error: unknown): string {
  return error instanceof Error ? error.name : 'Error';
}
