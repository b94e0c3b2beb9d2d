/**
 * `npm run admin -- <command>`: what an operator looks at or does by hand, on the database that the environment names.
 * A command is a file beside this one and a line here.
 */
import { openDatabase } from '#shared/db/client/pool.ts';
import { openSecretVariables } from '#shared/gcp/secrets.ts';
import { environment } from '#shared/runtime/config/environment.ts';
import { readAdminConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit, secretsOrExit } from '#shared/runtime/lifecycle.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { CommandError, type AdminCommand } from './command.ts';
import { deleteOwnerCommand } from './delete-owner.ts';
import { reencryptCommand } from './reencrypt.ts';
import { usageCommand } from './usage.ts';
import { webhooksCommand } from './webhooks.ts';

const commands: Readonly<Record<string, AdminCommand>> = {
  webhooksCommand,
  usageCommand,
  reencryptCommand,
  'delete-owner': deleteOwnerCommand,
};

const [name = '', ...args] = process.argv.slice(2);
const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
const print = (line: string): void => void process.stdout.write(`${line}\n`);

if (command === undefined) {
  print('npm run admin -- <command>\n');
  for (const [each, { usage: line }] of Object.entries(commands)) print(`  ${each.padEnd(14)}${line}`);
  process.exitCode = 2;
} else {
  const secrets = await secretsOrExit(() => openSecretVariables(environment));
  const config = configOrExit(() => readAdminConfig(secrets.env));
  const { db, pool } = openDatabase({
    ...config.database,
    applicationName: 'longhaul-admin',
    onError: () => undefined,
  });
  try {
    await command.run({ db, env: secrets.env, args, print });
  } catch (error) {
    process.stderr.write(
      `${error instanceof CommandError ? error.message : `failed: ${errorMessage(error)}`}\n`,
    );
    process.exitCode = 1;
  } finally {
    await Promise.all([pool.end(), secrets.close()]);
  }
}
