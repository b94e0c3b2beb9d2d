/** Whether the page is live. Announced, because it explains why nothing changes anymore. */
import type { JSX } from 'preact';
import { connection } from '../api/feed.ts';

const texts = {
  connecting: 'Connecting',
  live: 'Live',
  broken: 'Reconnecting',
  refused: 'Not live',
} as const;

export function ConnectionState(): JSX.Element {
  const current = connection.value;
  const reason = 'reason' in current ? current.reason : 'Changes appear as they happen.';
  return (
    <span class={`connection ${current.state}`} role="status" title={reason}>
      <span class="dot" />
      {texts[current.state]}
    </span>
  );
}
