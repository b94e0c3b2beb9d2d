/**
 * The file of `limits apply`: YAML, or JSON, with the limits of all owners that have limits of their own.
 *
 * ```yaml
 * owners:
 *   key:alice: { openTasks: 50000, storedBytes: 100 GiB }
 *   https://issuer.example|1234: { modelCostPerDay: 20 }
 * ```
 */
import * as v from 'valibot';
import { mapping, strictMapping } from '#shared/agent/fields.ts';
import { toProblem } from '#shared/agent/problems.ts';
import { parseYaml } from '#shared/agent/yaml.ts';
import type { OwnLimits } from '#shared/db/owners/settings.ts';
import { ownerLimitNames, type OwnerLimit } from '#shared/domain/owner-limits.ts';
import { CommandError } from '../command.ts';
import { describeValues, isOwnerName, ownerForms, parseLimit } from './values.ts';

function limitValue(limit: OwnerLimit) {
  return v.exactOptional(
    v.pipe(
      v.unknown(),
      v.check((value) => parseLimit(limit, value) !== undefined, `must be ${describeValues(limit)}`),
      v.transform((value) => parseLimit(limit, value) ?? 0),
    ),
  );
}

type LimitSchemas = Record<OwnerLimit, ReturnType<typeof limitValue>>;
const limitSchemas = Object.fromEntries(
  ownerLimitNames.map((limit) => [limit, limitValue(limit)]),
) as LimitSchemas;
const File = strictMapping({ owners: mapping(strictMapping(limitSchemas)) });

/** @throws {CommandError} with all problems, by line and column */
export function parseLimitsFile(text: string, fileName: string): Map<string, OwnLimits> {
  const yaml = parseYaml(text);
  const result = yaml.problems.length === 0 ? v.safeParse(File, yaml.value ?? {}) : undefined;
  const owners =
    result?.success === true ? Object.entries(result.output.owners as Record<string, OwnLimits>) : [];
  const misnamed = owners.filter(([owner]) => !isOwnerName(owner));
  if (result?.success === true && misnamed.length === 0) return new Map(owners);
  const found = (result?.issues ?? []).map((issue) => {
    const { path, key, message } = toProblem(issue);
    return { ...yaml.getPosition(path, key), message };
  });
  const names = misnamed.map(([owner]) => ({
    ...yaml.getPosition(['owners', owner], true),
    message: `owners.${owner}: no caller has this name (expected ${ownerForms})`,
  }));
  const lines = [...yaml.problems, ...found, ...names]
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .map(({ line, column, message }) => `${fileName}:${line}:${column}: ${message}`);
  throw new CommandError(lines.join('\n'));
}
