/** A request of SendMessage as curl, as a command of `longhaul`, and as TypeScript. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { agentCard } from '../api/calls.ts';
import { basePath, credential } from '../api/session.ts';
import type { SendParams } from '../lib/types.ts';
import { toCli, toCurl, toTypeScript, type SnippetTarget } from '../lib/snippets.ts';
import { CodeBlock } from './copy.tsx';

const languages = { curl: toCurl, CLI: toCli, TypeScript: toTypeScript } as const;
type Language = keyof typeof languages;

export function Snippets({ params }: { params: SendParams }): JSX.Element {
  const [language, setLanguage] = useState<Language>('curl');
  const needsCredential = (agentCard.value?.securityRequirements ?? []).length > 0;
  const target: SnippetTarget = {
    url: location.origin + basePath,
    auth: needsCredential ? (credential.value?.kind ?? 'key') : 'none',
  };
  return (
    <div class="snippets">
      <div class="segmented" role="group" aria-label="Language">
        {(Object.keys(languages) as Language[]).map((name) => (
          <button key={name} type="button" aria-pressed={name === language} onClick={() => setLanguage(name)}>
            {name}
          </button>
        ))}
      </div>
      <CodeBlock text={languages[language](target, params)} label={`The request as ${language}`} />
    </div>
  );
}
