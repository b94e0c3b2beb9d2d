/**
 * Where the agent is, and the credential of its user. It lives in session storage: it ends with the tab, and no other
 * site can make the browser send it.
 */
import { computed, signal } from '@preact/signals';

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

export function signIn(next: Credential): void {
  sessionStorage.setItem(storageKey, JSON.stringify(next));
  refusal.value = undefined;
  credential.value = next;
}

export function signOut(): void {
  sessionStorage.removeItem(storageKey);
  credential.value = undefined;
}
