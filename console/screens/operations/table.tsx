/** A table of the operations screen, in a card that says why it is empty. On a phone it scrolls by itself. */
import type { ComponentChildren, JSX } from 'preact';
import { Skeleton } from '../../ui/basics.tsx';

export interface Column<Row> {
  name: string;
  isNumber?: boolean;
  cell: (row: Row) => ComponentChildren;
}

interface DataTableProps<Row> {
  title: string;
  columns: readonly Column<Row>[];
  /** Undefined until they have been read. */
  rows: readonly Row[] | undefined;
  getKey: (row: Row) => string;
  /** Takes the place of the table: the meaning of no rows. */
  empty: string;
  /** Shown next to the title. */
  actions?: ComponentChildren;
}

export function DataTable<Row>(props: DataTableProps<Row>): JSX.Element {
  const { title, columns, rows, getKey, empty, actions } = props;
  return (
    <section class="card" aria-label={title}>
      <header class="card-head">
        <h2>{title}</h2>
        {actions}
      </header>
      {rows === undefined ? (
        <Skeleton lines={2} />
      ) : rows.length === 0 ? (
        <p class="hint">{empty}</p>
      ) : (
        <div class="table-scroll" role="region" aria-label={`${title}, as a table`} tabIndex={0}>
          <table class="table">
            <thead>
              <tr>
                {columns.map(({ name, isNumber }) => (
                  <th key={name} class={isNumber === true ? 'number' : undefined}>
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row) => (
                <tr key={getKey(row)}>
                  {columns.map(({ name, isNumber, cell }) => (
                    <td key={name} class={isNumber === true ? 'number' : undefined}>
                      {cell(row)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
