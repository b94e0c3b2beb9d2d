/** `npm run admin -- limits`: the limits of owners and what they use of them. See docs/operate/limits.md. */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { reportOwners } from '#shared/db/owners/report.ts';
import { changeOwnLimits, type LimitsChange } from '#shared/db/owners/settings.ts';
import { findWithoutTasks, recountOwnerUsage } from '#shared/db/owners/usage.ts';
import { formatLimit, ownerLimitNames } from '#shared/domain/owner-limits.ts';
import { readLimitsConfig } from '#shared/runtime/config/operator.ts';
import { configOrExit } from '#shared/runtime/lifecycle.ts';
import { errorMessage } from '#shared/runtime/log.ts';
import { CommandError, type AdminCommand, type CommandContext } from '../command.ts';
import { parseLimitsFile } from './file.ts';
import { formatReports } from './list.ts';
import { describeValues, isLimitName, isOwnerName, ownerForms, parseLimit } from './values.ts';

export const limitsCommand: AdminCommand = {
  usage:
    '[--all] [--json] | set <owner> <limit>=<value>… | unset <owner> [<limit>…] | apply <file>|--text=<text> [--dry-run] | recount [<owner>]   limits of owners, and what they use',
  run: async (context) => {
    const { values, positionals } = parseArguments(context.args);
    const [verb = 'list', ...rest] = positionals;
    const subcommand = Object.hasOwn(subcommands, verb)
      ? subcommands[verb as keyof typeof subcommands]
      : undefined;
    if (subcommand === undefined) {
      throw new CommandError(`limits expects one of ${Object.keys(subcommands).join(', ')}, not ${verb}`);
    }
    await subcommand(context, rest, values);
  },
};

interface Flags {
  all: boolean;
  json: boolean;
  'dry-run': boolean;
  text?: string;
}

type Subcommand = (context: CommandContext, args: readonly string[], flags: Flags) => Promise<void>;

const subcommands: Record<'list' | 'set' | 'unset' | 'apply' | 'recount', Subcommand> = {
  list: async ({ db, env, print }, args, { all, json }) => {
    if (args.length > 0) throw new CommandError(`limits list expects no arguments, not ${args.join(' ')}`);
    const defaults = configOrExit(() => readLimitsConfig(env));
    const owners = await reportOwners(db, defaults, { all });
    if (json) print(JSON.stringify({ defaults, owners }));
    else for (const line of formatReports(defaults, owners, { all })) print(line);
  },

  set: async (context, [owner, ...settings], flags) => {
    if (owner === undefined || settings.length === 0) {
      throw new CommandError('limits set expects an owner and limits, such as: set key:alice openTasks=500');
    }
    if (!isOwnerName(owner))
      throw new CommandError(`no caller has the name ${owner} (expected ${ownerForms})`);
    const changed = Object.fromEntries(settings.map(parseSetting));
    await change(context, flags, (current) =>
      new Map(current).set(owner, { ...current.get(owner), ...changed }),
    );
  },

  unset: async (context, [owner, ...names], flags) => {
    if (owner === undefined)
      throw new CommandError('limits unset expects an owner, and the limits to unset or none for all');
    for (const name of names) checkName(name);
    await change(context, flags, (current) => {
      const own = Object.entries(current.get(owner) ?? {});
      const left = own.filter(([name]) => names.length > 0 && !names.includes(name));
      return new Map(current).set(owner, Object.fromEntries(left));
    });
  },

  apply: async (context, [file, ...others], flags) => {
    const { text } = flags;
    if ((file === undefined) === (text === undefined) || others.length > 0)
      throw new CommandError('limits apply expects one file, or its text as --text');
    const wanted = file === undefined ? parseLimitsFile(text ?? '', '--text') : await readLimitsFile(file);
    await change(context, flags, () => wanted);
  },

  recount: async ({ db, print }, [owner, ...others]) => {
    if (others.length > 0) throw new CommandError('limits recount expects one owner, or none for all');
    const count = await recountOwnerUsage(db, owner);
    print(`recounted the stored tasks of ${count} ${count === 1 ? 'owner' : 'owners'}`);
  },
};

async function readLimitsFile(file: string): Promise<ReturnType<typeof parseLimitsFile>> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new CommandError(`${file} cannot be read: ${errorMessage(error)}`);
  });
  return parseLimitsFile(text, file);
}

async function change(
  { db, print }: CommandContext,
  { json, 'dry-run': dryRun }: Flags,
  toWanted: Parameters<typeof changeOwnLimits>[1],
): Promise<void> {
  const changes = await changeOwnLimits(db, toWanted, { store: !dryRun });
  if (json) {
    print(JSON.stringify({ dryRun, changes }));
    return;
  }
  for (const line of changes.flatMap(formatChange)) print(line);
  if (changes.length === 0) print('no changes');
  else if (dryRun) print('dry run: nothing was changed');
  const added = changes.filter(({ before }) => Object.keys(before).length === 0).map(({ owner }) => owner);
  for (const owner of await findWithoutTasks(db, added)) print(`${owner} has no tasks yet: check the name`);
}

function formatChange({ owner, before, after }: LimitsChange): string[] {
  return ownerLimitNames.flatMap((limit) => {
    const [from, to] = [before[limit], after[limit]];
    if (from === to) return [];
    if (from === undefined) return [`+ ${owner} ${limit} ${formatLimit(limit, to ?? 0)}`];
    if (to === undefined) return [`- ${owner} ${limit} ${formatLimit(limit, from)}`];
    return [`~ ${owner} ${limit} ${formatLimit(limit, from)} -> ${formatLimit(limit, to)}`];
  });
}

function parseSetting(setting: string): [string, number] {
  const at = setting.indexOf('=');
  const [name, text] = at === -1 ? [setting, ''] : [setting.slice(0, at), setting.slice(at + 1)];
  const limit = checkName(name);
  const value = parseLimit(limit, text);
  if (value === undefined) throw new CommandError(`${limit} must be ${describeValues(limit)}, not "${text}"`);
  return [limit, value];
}

function checkName(name: string) {
  if (isLimitName(name)) return name;
  throw new CommandError(`${name} is not a limit (expected ${ownerLimitNames.join(', ')})`);
}

function parseArguments(args: readonly string[]): { values: Flags; positionals: string[] } {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        all: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        'dry-run': { type: 'boolean', default: false },
        text: { type: 'string' },
      },
    });
  } catch (error) {
    throw new CommandError(`limits: ${errorMessage(error)}`);
  }
}
