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

/** The tables that a plan reads whole. */
export function findScans(plan: QueryPlan): string[] {
  const below = (plan.Plans ?? []).flatMap(findScans);
  const isScan = plan['Node Type'] === 'Seq Scan' && plan['Relation Name'] !== undefined;
  return isScan ? [plan['Relation Name'] ?? '', ...below] : below;
}
