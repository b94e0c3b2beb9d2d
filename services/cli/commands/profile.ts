/** `longhaul profile`: names agents together with their keys. */
import { text } from 'node:stream/consumers';
import type { Command } from 'commander';
import { environment } from '#shared/runtime/config/environment.ts';
import { exitStatus, usageError } from '../failure.ts';
import { print, printJson, toTable } from '../output/terminal.ts';
import { runAction } from '../run.ts';
import { checkProfileName, profilesPath, readProfiles, writeProfiles } from '../settings/profiles.ts';
import { checkUrl, jsonOption } from '../settings/settings.ts';

export function addProfileCommands(program: Command): void {
  const group = program.command('profile').description('Name agents together with their keys.');
  const file = profilesPath(environment);
  group
    .command('set')
    .description('Add a profile, or replace it.')
    .argument('<name>')
    .argument('<url>', 'address of the agent')
    .option('--key-stdin', 'read an API key or a token from standard input')
    .addHelpText(
      'after',
      `
The file is ~/.config/longhaul/profiles.json, readable by you only.

Examples:
  longhaul profile set local http://localhost:8080
  gcloud secrets versions access latest --secret agent-key | longhaul profile set prod https://agent.example.com --key-stdin`,
    )
    .action((name: string, url: string, options: { keyStdin?: boolean }) =>
      runAction(async () => {
        checkProfileName(name);
        const address = checkUrl(url);
        const apiKey = options.keyStdin ? (await text(process.stdin)).trim() : undefined;
        if (apiKey === '') throw usageError('standard input has no key');
        writeProfiles(file, {
          ...readProfiles(file),
          [name]: { url: address, ...(apiKey !== undefined && { apiKey }) },
        });
        return exitStatus.done;
      }),
    );
  group
    .command('list')
    .description('List the profiles, without their keys.')
    .addOption(jsonOption())
    .action((options: { json?: boolean }) =>
      runAction(async () => {
        const profiles = Object.entries(readProfiles(file));
        if (options.json)
          for (const [name, { url, apiKey }] of profiles)
            printJson({ name, url, hasKey: apiKey !== undefined });
        else
          for (const line of toTable(
            profiles.map(([name, { url, apiKey }]) => [name, url, apiKey ? 'with key' : '']),
          ))
            print(line);
        return exitStatus.done;
      }),
    );
  group
    .command('remove')
    .description('Remove a profile.')
    .argument('<name>')
    .action((name: string) =>
      runAction(async () => {
        const { [name]: removed, ...others } = readProfiles(file);
        if (removed === undefined) throw usageError(`the profile ${name} is not in ${file}`);
        writeProfiles(file, others);
        return exitStatus.done;
      }),
    );
}
