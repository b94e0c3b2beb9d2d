/**
 * SQL that copies the rows of a few tasks to very many, inside PostgreSQL. The few are templates: real tasks, run by the
 * services. Their rows are found by their task, and their identities by their values, so that a column that was added to the
 * schema is copied like the others.
 *
 *   preload.templates tp   the identities of each template
 *   preload.seed s         those of each copy, under the same names
 *   preload.rows_<table> t the rows of the templates, with the number of their template
 */

/** The values that are a task's own, by the names of the columns in `preload.templates` and `preload.seed`. */
export const identities = ['task', 'context', 'context_key', 'message', 'follow_up', 'owner'] as const;
export type Identity = (typeof identities)[number];
export type Identities = Record<Identity, string>;

export interface Column {
  name: string;
  /** The internal name of PostgreSQL, such as `timestamptz`. */
  type: string;
}

/** Columns whose copy is not that of the template. */
export interface CopyOptions {
  /** Expressions by `table.column`. */
  overrides: Readonly<Record<string, string>>;
  /** For the ids of transactions. */
  transactionId: string;
}

/** Returns the identities of the template of each row that occur in a column. */
export function findIdentities(
  column: string,
  rows: readonly { template: Identities; row: Readonly<Record<string, unknown>> }[],
): Set<Identity> {
  const found = new Set<Identity>();
  for (const { template, row } of rows) {
    const text = JSON.stringify(row[column]) ?? '';
    for (const identity of identities) if (text.includes(template[identity])) found.add(identity);
  }
  return found;
}

/**
 * Returns the expression of a column of a copy.
 *
 * @param found the identities that occur in the column
 * @throws {Error} if the column names a task in a type that this function does not know
 */
export function createExpression(
  table: string,
  { name, type }: Column,
  found: ReadonlySet<Identity>,
  { overrides, transactionId }: CopyOptions,
): string {
  const value = `t."${name}"`;
  const override = overrides[`${table}.${name}`];
  if (override !== undefined) return override;
  if (type === 'timestamptz') return `${value} + (s.at - tp.at)`;
  if (type === 'xid8') return transactionId;
  if (found.size === 0) return value;
  switch (type) {
    case 'uuid': {
      const cases = [...found].map((identity) => `when tp.${identity}::uuid then s.${identity}::uuid`);
      return `case ${value} ${cases.join(' ')} else ${value} end`;
    }
    case 'text':
    case 'json':
    case 'jsonb': {
      const replaced = [...found].reduce(
        (text, identity) => `replace(${text}, tp.${identity}::text, s.${identity}::text)`,
        `${value}::text`,
      );
      return `${replaced}::${type}`;
    }
    default:
      throw new Error(
        `${table}.${name} contains the ${[...found].join(' and the ')} of a task, as ${type}: say in ${import.meta.filename} how to copy that`,
      );
  }
}

/**
 * Returns the statement that copies the rows of a table, in the order of the seed.
 *
 * @param condition on the seed `s`: only these tasks have copies
 */
export function createCopy(
  table: string,
  expressions: ReadonlyMap<string, string>,
  condition = 'true',
): string {
  const columns = [...expressions.keys()].map((column) => `"${column}"`).join(', ');
  return `insert into public."${table}" (${columns})
    select ${[...expressions.values()].join(', ')}
    from preload.seed s join preload.templates tp on tp.template = s.template
    join preload."rows_${table}" t on t.template = s.template where ${condition}`;
}
