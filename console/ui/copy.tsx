/** Copies text, and code blocks with a button that does. */
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { Button } from './basics.tsx';
import { showToast } from './toast.tsx';

export function CopyButton({ text, children }: { text: string; children?: ComponentChildren }): JSX.Element {
  const [copied, setCopied] = useState(false);
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), 1500);
      },
      () => showToast('The browser did not allow to copy: select the text and copy it yourself.', true),
    );
  };
  const icon = copied ? 'check' : 'copy';
  if (children === undefined) return <Button kind="quiet" icon={icon} label="Copy" onClick={copy} />;
  return (
    <Button icon={icon} onClick={copy}>
      {children}
    </Button>
  );
}

export function CodeBlock({ text, label }: { text: string; label: string }): JSX.Element {
  return (
    <div class="code-block">
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
      <CopyButton text={text} />
    </div>
  );
}
