/**
 * The tasks to store, by their identities: three owners with 40%, 20% and 10% of them, and very many owners with about a
 * hundred each. Half of the tasks share their context with four others, and some of the largest owner share one very long
 * context. They were created over the last 80 days, and have ids and contexts in that order, as the api makes them.
 */
export const largeOwner = 'key:large-1';
export const smallOwner = 'key:small-1';
export const longContext = 'the-longest-conversation';

const tasksOfSmallOwner = 100;
const days = 80;
/** Tasks of the longest context: one of so many of the largest owner. */
const longContextShare = 50;

/** Identities as UUIDv7 of a time, and of a text in place of random bits. */
const createUuid = `
  create function preload.uuid_at(at timestamptz, name text) returns uuid stable language sql return (
    lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(md5(name), 1, 3)
      || '8' || substr(md5(name), 4, 15)
  )::uuid`;

/**
 * Returns the statements that create `preload.seed`.
 *
 * @param shares the numbers of the templates, each as often as it is used
 */
export function createSeed(tasks: number, shares: readonly number[]): string[] {
  const smallOwners = Math.max(1, Math.floor((0.3 * tasks) / tasksOfSmallOwner));
  return [
    createUuid,
    `create unlogged table preload.seed as
     select *, ${contextKey('owner', 'context')} as context_key
     from (
       select n, template, owner, at, preload.uuid_at(at, 'task' || n) as task,
         md5('message' || n)::uuid as message, md5('follow_up' || n)::uuid as follow_up,
         case when owner = '${largeOwner}' and n % ${longContextShare} = 0 then '${longContext}'
           when g % 2 = 0 then preload.uuid_at(group_at, 'group' || g)::text
           else preload.uuid_at(at, 'context' || n)::text end as context
       from (
         select n, g, (array[${shares.join()}])[1 + n % ${shares.length}] as template,
           start + step * n as at, start + step * (g * 5) as group_at,
           case when h < 410 then '${largeOwner}' when h < 614 then 'key:large-2' when h < 716 then 'key:large-3'
             else 'key:small-' || g % ${smallOwners} end as owner
         from (select now() - interval '${days} days' as start, interval '${days} days' / ${tasks} as step) time
         cross join (
           select n, n / 5 as g, hashint4(n / 5) & 1023 as h from generate_series(1, ${tasks}) n
         ) numbered
       ) owned
     ) identified order by n`,
    'analyze preload.seed',
  ];
}

/**
 * The key of a context in SQL: toContextKey in shared/db/tasks/context-key.ts, for owners and contexts without quotes, and no
 * tenant.
 */
export function contextKey(owner: string, context: string): string {
  const digits = `encode(sha256(convert_to('["","' || ${owner} || '","' || ${context} || '"]', 'UTF8')), 'hex')`;
  return `(case when ${context} ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$'
    then substr(${context}, 1, 8) else substr(${digits}, 1, 8) end || substr(${digits}, 9, 24))::uuid`;
}
