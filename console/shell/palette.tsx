/** The palette of `/`: opens a task by its id, searches tasks by the text of their error, and goes to screens. */
import type { JSX } from 'preact';
import { useMemo, useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { formatFilter, noFilter } from '../lib/task-filter.ts';
import { stateNames } from '../lib/states.ts';
import { taskStates } from '#shared/domain/task.ts';
import { Dialog } from '../ui/dialog.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { listScreens } from './screens.ts';
import { switchTheme } from './theme.ts';

interface Choice {
  label: string;
  icon: IconName;
  run: () => void;
}

const uuid = /[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}/i;

export function Palette({ onClose }: { onClose: () => void }): JSX.Element {
  const [, navigate] = useLocation();
  const [text, setText] = useState('');
  const [chosen, setChosen] = useState(0);
  const choices = useMemo(() => listChoices(text, navigate), [text]);
  const run = (choice: Choice | undefined): void => {
    if (choice === undefined) return;
    onClose();
    choice.run();
  };
  const move = (by: number): void => setChosen((chosen + by + choices.length) % Math.max(1, choices.length));
  return (
    <Dialog title="Search" onClose={onClose}>
      <input
        class="palette-input"
        type="search"
        role="combobox"
        aria-label="Task id, text of an error, or a screen"
        aria-expanded="true"
        aria-controls="palette-choices"
        aria-activedescendant={choices.length > 0 ? `choice-${chosen}` : undefined}
        placeholder="Task id, text of an error, or a screen"
        autoFocus
        value={text}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') move(1);
          else if (event.key === 'ArrowUp') move(-1);
          else if (event.key === 'Enter') run(choices[chosen]);
          else return;
          event.preventDefault();
        }}
      />
      <ul id="palette-choices" class="choices" role="listbox" aria-label="Results">
        {choices.map((choice, index) => (
          <li
            key={choice.label}
            id={`choice-${index}`}
            role="option"
            aria-selected={index === chosen}
            onClick={() => run(choice)}
            onMouseMove={() => setChosen(index)}
          >
            <Icon name={choice.icon} />
            {choice.label}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

function listChoices(text: string, navigate: (path: string) => void): Choice[] {
  const id = uuid.exec(text)?.[0];
  if (id !== undefined) {
    return [{ label: `Open task ${id}`, icon: 'tasks', run: () => navigate(`/tasks/${id}`) }];
  }
  const wanted = text.trim().toLowerCase();
  const matches = (name: string): boolean => name.toLowerCase().includes(wanted);
  const pages = listScreens()
    .filter(({ name, words }) => matches(`${name} ${words}`))
    .map(({ name, icon, path }): Choice => ({ label: name, icon, run: () => navigate(path) }));
  const states = taskStates
    .filter((state) => wanted !== '' && matches(`${stateNames[state]} tasks`))
    .map((state): Choice => ({
      label: `${stateNames[state]} tasks`,
      icon: 'tasks',
      run: () => navigate(`/${formatFilter({ ...noFilter, states: [state] })}`),
    }));
  const search: Choice = {
    label: `Tasks whose error contains “${text.trim()}”`,
    icon: 'search',
    run: () => navigate(`/${formatFilter({ ...noFilter, error: text.trim().slice(0, 200) })}`),
  };
  const switching: Choice = { label: 'Switch between dark and light', icon: 'moon', run: switchTheme };
  return [
    ...pages,
    ...states,
    ...(wanted === '' ? [] : [search]),
    ...(matches('switch theme dark light') ? [switching] : []),
  ];
}
