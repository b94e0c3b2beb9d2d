/** JSON as a tree. Objects and lists fold; large ones start folded. Everything is text. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';

const openDepth = 2;
const pageSize = 100;

export function JsonView({ value, label }: { value: unknown; label: string }): JSX.Element {
  return (
    <div class="json" role="group" aria-label={label}>
      <Value value={value} depth={0} />
    </div>
  );
}

function Value({ name, value, depth }: { name?: string; value: unknown; depth: number }): JSX.Element {
  if (typeof value !== 'object' || value === null) {
    return (
      <div class="json-line">
        {name !== undefined && <Name name={name} />}
        <span class={`json-${value === null ? 'null' : typeof value}`}>{JSON.stringify(value)}</span>
      </div>
    );
  }
  return <Folded {...(name !== undefined && { name })} value={value} depth={depth} />;
}

function Folded({ name, value, depth }: { name?: string; value: object; depth: number }): JSX.Element {
  const entries = Object.entries(value);
  const isList = Array.isArray(value);
  const [shown, setShown] = useState(pageSize);
  const count = `${entries.length} ${isList ? 'entries' : 'fields'}`;
  if (entries.length === 0) {
    return (
      <div class="json-line">
        {name !== undefined && <Name name={name} />}
        {isList ? '[]' : '{}'}
      </div>
    );
  }
  return (
    <details class="json-fold" open={depth < openDepth && entries.length <= pageSize}>
      <summary>
        {name !== undefined && <Name name={name} />}
        <span class="json-count">{isList ? `[ ${count} ]` : `{ ${count} }`}</span>
      </summary>
      {entries.slice(0, shown).map(([key, entry]) => (
        <Value key={key} name={key} value={entry} depth={depth + 1} />
      ))}
      {entries.length > shown && (
        <button type="button" class="link" onClick={() => setShown(shown + pageSize)}>
          {entries.length - shown} more
        </button>
      )}
    </details>
  );
}

function Name({ name }: { name: string }): JSX.Element {
  return <span class="json-name">{name}: </span>;
}
