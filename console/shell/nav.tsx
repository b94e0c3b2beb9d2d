/** The navigation: a column at the left, on a phone a bar at the bottom. */
import type { JSX } from 'preact';
import { Link, useLocation } from 'wouter-preact';
import { agentCard } from '../api/calls.ts';
import { credential, signOut } from '../api/session.ts';
import { toVisible } from '../lib/format.ts';
import { Button } from '../ui/basics.tsx';
import { Icon } from '../ui/icons.tsx';
import { ConnectionState } from './connection.tsx';
import { listScreens } from './screens.ts';
import { switchTheme, theme } from './theme.ts';

const themeIcons = { system: 'screen', light: 'sun', dark: 'moon' } as const;

interface NavProps {
  /** The number of tasks that wait for a person. */
  waiting: number;
  onSearch: () => void;
  onHelp: () => void;
}

export function Nav({ waiting, onSearch, onHelp }: NavProps): JSX.Element {
  const [location] = useLocation();
  const current = location.startsWith('/tasks/') ? '/' : location;
  const name = toVisible(agentCard.value?.name ?? 'Longhaul');
  return (
    <header class="nav">
      <div class="nav-head">
        <span class="logo" aria-hidden="true">
          <span />
        </span>
        <span class="agent-name" title={name}>
          {name}
        </span>
      </div>
      <button type="button" class="nav-search" onClick={onSearch}>
        <Icon name="search" />
        <span>Search</span>
        <kbd>/</kbd>
      </button>
      <nav aria-label="Screens">
        {listScreens().map(({ path, name, icon }) => (
          <Link key={path} href={path} aria-current={current === path ? 'page' : undefined}>
            <Icon name={icon} />
            <span>{name}</span>
            {path === '/inbox' && waiting > 0 && (
              <span class="count" aria-label={`${waiting} waiting`}>
                {waiting > 99 ? '99+' : waiting}
              </span>
            )}
          </Link>
        ))}
        <button type="button" class="nav-more" onClick={onSearch}>
          <Icon name="menu" />
          <span>More</span>
        </button>
      </nav>
      <div class="nav-foot">
        <ConnectionState />
        <Button
          kind="quiet"
          icon={themeIcons[theme.value]}
          label={`Theme: ${theme.value}`}
          onClick={switchTheme}
        />
        <Button kind="quiet" icon="help" label="Keys" onClick={onHelp} />
        {credential.value !== undefined && (
          <Button kind="quiet" icon="key" label="Sign out" onClick={signOut} />
        )}
      </div>
    </header>
  );
}
