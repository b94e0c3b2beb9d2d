/** Tabs whose choice is in the address, so that each can be linked to. */
import type { JSX } from 'preact';
import { Link } from 'wouter-preact';

export interface Tab {
  href: string;
  label: string;
  count?: number | undefined;
}

export function Tabs({
  tabs,
  current,
  label,
}: {
  tabs: readonly Tab[];
  current: string;
  label: string;
}): JSX.Element {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map(({ href, label, count }) => (
        <Link key={href} href={href} aria-current={href === current ? 'page' : undefined}>
          {label}
          {count !== undefined && count > 0 && <span class="count">{count}</span>}
        </Link>
      ))}
    </nav>
  );
}
