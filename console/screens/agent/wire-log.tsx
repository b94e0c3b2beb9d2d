/** Every call that this tab has made, with its answer. */
import type { JSX } from 'preact';
import { wireLog, type WireEntry } from '../../api/wire-log.ts';
import { formatTime } from '../../lib/format.ts';
import { Pill } from '../../ui/basics.tsx';
import { CodeBlock } from '../../ui/copy.tsx';
import { now } from '../../ui/now.ts';

const shown = 60;

export function WireLog(): JSX.Element {
  const entries = wireLog.value.slice(-shown).toReversed();
  return (
    <section class="card" aria-label="Wire log">
      <header class="card-head">
        <h2>Wire log of this tab</h2>
        <span class="hint">newest first</span>
      </header>
      <ol class="wire">
        {entries.map((entry) => (
          <Line key={entry.id} entry={entry} />
        ))}
      </ol>
    </section>
  );
}

function Line({ entry }: { entry: WireEntry }): JSX.Element {
  const { at, method, path, status, ms, request, response } = entry;
  const tone = status === undefined ? 'active' : status === 0 || status >= 400 ? 'bad' : 'good';
  return (
    <li>
      <details>
        <summary>
          <Pill tone={tone}>{status === undefined ? 'open' : status === 0 ? 'failed' : status}</Pill>
          <span class="mono wire-path">
            {method} {path}
          </span>
          <span class="hint">{ms === undefined ? '' : `${ms} ms`}</span>
          <span class="hint">{formatTime(new Date(at).toISOString(), now.value)}</span>
        </summary>
        {request !== undefined && <CodeBlock text={request} label="Request" />}
        {response !== undefined && <CodeBlock text={response} label="Answer" />}
      </details>
    </li>
  );
}
