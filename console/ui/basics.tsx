/** Small parts that every screen uses: buttons, states, times, and what a screen shows when it has nothing to show. */
import type { ComponentChildren, JSX } from 'preact';
import type { TaskState } from '#shared/domain/task.ts';
import { formatAge, formatExactTime, formatTime } from '../lib/format.ts';
import { stateNames, stateTones, type Tone } from '../lib/states.ts';
import { Icon, type IconName } from './icons.tsx';
import { now } from './now.ts';

interface ButtonProps {
  children?: ComponentChildren;
  icon?: IconName;
  onClick?: () => void;
  kind?: 'primary' | 'danger' | 'plain' | 'quiet';
  /** The name of a button that shows only an icon. */
  label?: string;
  disabled?: boolean;
  type?: 'button' | 'submit';
  pressed?: boolean;
}

export function Button(props: ButtonProps): JSX.Element {
  const {
    children,
    icon,
    onClick,
    kind = 'plain',
    label,
    disabled = false,
    type = 'button',
    pressed,
  } = props;
  return (
    <button
      type={type}
      class={`button ${kind}${children === undefined ? ' only-icon' : ''}`}
      onClick={onClick}
      disabled={disabled}
      aria-label={label}
      aria-pressed={pressed}
      title={label}
    >
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}

export function Pill({ tone, children }: { tone: Tone; children: ComponentChildren }): JSX.Element {
  return <span class={`pill ${tone}`}>{children}</span>;
}

export function StatePill({ state }: { state: TaskState }): JSX.Element {
  return <Pill tone={stateTones[state]}>{stateNames[state]}</Pill>;
}

/** A time as its age, or as the time of day; the exact time is its title. */
export function Time({ at, as = 'age' }: { at: string; as?: 'age' | 'clock' }): JSX.Element {
  const current = now.value;
  return (
    <time dateTime={at} title={formatExactTime(at)}>
      {as === 'age' ? formatAge(current - Date.parse(at)) : formatTime(at, current)}
    </time>
  );
}

interface EmptyProps {
  icon: IconName;
  title: string;
  children?: ComponentChildren;
}

/** Takes the place of a list without entries: why it has none, and what to do next. */
export function Empty({ icon, title, children }: EmptyProps): JSX.Element {
  return (
    <div class="empty">
      <Icon name={icon} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function ErrorNote({ error, retry }: { error: string; retry?: () => void }): JSX.Element {
  return (
    <div class="note bad" role="alert">
      <Icon name="alert" />
      <p>{error}</p>
      {retry !== undefined && (
        <Button icon="refresh" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  );
}

/** Takes the place of content that is being loaded, so that nothing moves when it arrives. */
export function Skeleton({ lines = 3 }: { lines?: number }): JSX.Element {
  return (
    <div class="skeleton" aria-hidden="true">
      {Array.from({ length: lines }, (_, index) => (
        <span key={index} />
      ))}
    </div>
  );
}

interface PageProps {
  title: ComponentChildren;
  /** The title of the tab, if the title is more than text. */
  name?: string;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

/** A screen: its heading and actions, and its content. */
export function Page({ title, name, actions, children }: PageProps): JSX.Element {
  document.title = `${name ?? (typeof title === 'string' ? title : 'Console')} · Longhaul`;
  return (
    <main id="main" class="page" tabIndex={-1}>
      <header class="page-head">
        <h1>{title}</h1>
        {actions !== undefined && <div class="actions">{actions}</div>}
      </header>
      {children}
    </main>
  );
}

/** A name and a value, for a list `dl` with the class `figures`. */
export function Figure({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
