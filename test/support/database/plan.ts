/** Query plans, as `explain (format json)` returns them. */

export interface QueryPlan {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string | undefined;
  Alias?: string;
  Plans?: QueryPlan[];
}

/** The nodes that read a table, each with its index. */
export function findReads(plan: QueryPlan, table: string): QueryPlan[] {
  const below = (plan.Plans ?? []).flatMap((child) => findReads(child, table));
  if (plan['Relation Name'] !== table || plan['Node Type'] === 'ModifyTable') return below;
  // The index of a bitmap heap scan is in the node below it.
  const [index] = plan['Node Type'] === 'Bitmap Heap Scan' ? (plan.Plans ?? []) : [plan];
  return [{ ...plan, 'Index Name': index?.['Index Name'] }, ...below];
}
