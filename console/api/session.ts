/**
 * Where the agent is, and the credential of its user. It lives in session storage: it ends with the tab, and no other
 * site can make the browser send it.
 */
import { computed, signal } from '@preact/signals';
import type { Scope } from '#shared/domain/scopes.ts';

/** The path of the public URL, without a slash at its end. Scripts are in `BASE/console/assets/`. */
export const basePath = new URL('../..', import.meta.url).pathname.replace(/\/$/, '');

export interface Credential {
  kind: 'key' | 'token';
  value: string;
}

const storageKey = 'longhaul.credential';

function readCredential(): Credential | undefined {
  try {
    const stored = JSON.parse(sessionStorage.getItem(storageKey) ?? 'null') as Credential | null;
    return stored ?? undefined;
  } catch {
    return undefined;
  }
}

export const credential = signal<Credential | undefined>(readCredential());

/** Why the last credential was refused, or a call without one. Undefined: calls are accepted. */
export const refusal = signal<string | undefined>(undefined);

export const authHeaders = computed((): Record<string, string> => {
  if (credential.value === undefined) return {};
  const { kind, value } = credential.value;
  return kind === 'key' ? { 'x-api-key': value } : { authorization: `Bearer ${value}` };
});

/** The scopes of the credential, as the agent names them in its answers; undefined until it has. */
export const scopes = signal<string | undefined>(undefined);

export function hasScope(scope: Scope): boolean {
  return scopes.value?.split(', ').includes(scope) === true;
}

/** The address of a task's traces, with `{taskId}` in place of its id; empty if the operator has set none. */
export const traceUrl =
  document.querySelector<HTMLMetaElement>('meta[name=longhaul-trace-url]')?.content ?? '';

export function signIn(next: Credential): void {
  sessionStorage.setItem(storageKey, JSON.stringify(next));
  refusal.value = undefined;
  scopes.value = undefined;
  credential.value = next;
}

export function signOut(): void {
  sessionStorage.removeItem(storageKey);
  scopes.value = undefined;
  credential.value = undefined;
}
