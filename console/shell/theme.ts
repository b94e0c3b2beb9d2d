/** Dark, light, or as the system has it. The choice is kept in local storage: it is not a secret. */
import { effect, signal } from '@preact/signals';

export const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const storageKey = 'longhaul.theme';

export const theme = signal<Theme>(
  themes.find((name) => name === localStorage.getItem(storageKey)) ?? 'system',
);

effect(() => {
  document.documentElement.dataset['theme'] = theme.value;
  localStorage.setItem(storageKey, theme.value);
});

export function switchTheme(): void {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length] ?? 'system';
}
