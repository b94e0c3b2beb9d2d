/** Asks for the credential that the agent's card names. It is sent to this agent only, and forgotten with the tab. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError, call } from '../api/http.ts';
import { agentCard } from '../api/calls.ts';
import { credential, refusal, signIn, signOut, type Credential } from '../api/session.ts';
import { Button, ErrorNote, Page } from '../ui/basics.tsx';

/** The kinds of credential that the agent accepts, from the security schemes of its card. */
function listKinds(): { kind: Credential['kind']; label: string; hint: string }[] {
  const schemes = Object.values(agentCard.value?.securitySchemes ?? {});
  const key = schemes.find((scheme) => 'apiKeySecurityScheme' in scheme);
  const token = schemes.find((scheme) => !('apiKeySecurityScheme' in scheme));
  const describe = (scheme: object): string =>
    Object.values(scheme as Record<string, { description?: string }>)[0]?.description ?? '';
  return [
    ...(key === undefined ? [] : [{ kind: 'key' as const, label: 'API key', hint: describe(key) }]),
    ...(token === undefined
      ? []
      : [{ kind: 'token' as const, label: 'Access token', hint: describe(token) }]),
  ];
}

export function SignIn(): JSX.Element {
  const kinds = listKinds();
  const [kind, setKind] = useState(kinds[0]?.kind ?? 'key');
  const [value, setValue] = useState('');
  const [problem, setProblem] = useState(credential.value === undefined ? undefined : refusal.value);
  const [checking, setChecking] = useState(false);
  const selected = kinds.find((entry) => entry.kind === kind) ?? kinds[0];

  const submit = async (): Promise<void> => {
    setChecking(true);
    signIn({ kind, value: value.trim() });
    try {
      await call('/stats');
    } catch (error) {
      // A credential without the scope of this call is valid: screens say what they need.
      const isValid = error instanceof ApiError && error.status === 403;
      if (!isValid) {
        signOut();
        setProblem((error as Error).message);
        refusal.value = (error as Error).message;
      }
    }
    setChecking(false);
  };

  return (
    <Page title="Sign in" name="Sign in">
      <form
        class="card sign-in"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <p>
          <strong>{agentCard.value?.name ?? 'This agent'}</strong> asks its callers for a credential. You see
          the tasks of its owner.
        </p>
        {kinds.length > 1 && (
          <fieldset class="choice-row">
            <legend>Kind</legend>
            {kinds.map((entry) => (
              <label key={entry.kind}>
                <input
                  type="radio"
                  name="kind"
                  checked={kind === entry.kind}
                  onChange={() => setKind(entry.kind)}
                />
                {entry.label}
              </label>
            ))}
          </fieldset>
        )}
        <label class="field">
          <span>{selected?.label ?? 'API key'}</span>
          <input
            type="password"
            autoComplete="off"
            required
            value={value}
            onInput={(event) => setValue(event.currentTarget.value)}
          />
          <small>{selected?.hint}</small>
        </label>
        {problem !== undefined && <ErrorNote error={problem} />}
        <Button kind="primary" type="submit" icon="key" disabled={checking || value.trim() === ''}>
          Sign in
        </Button>
        <p class="hint">It is kept for this tab only, in session storage, and sent to this agent only.</p>
      </form>
    </Page>
  );
}
