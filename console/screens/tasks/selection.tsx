/** Actions on the selected tasks. */
import type { JSX } from 'preact';
import { Button } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';

interface SelectionProps {
  ids: readonly string[];
  onClear: () => void;
}

export function Selection({ ids, onClear }: SelectionProps): JSX.Element {
  return (
    <div class="selection" role="region" aria-label="Selection">
      <span>{ids.length} selected</span>
      <CopyButton text={ids.join(' ')}>Copy ids</CopyButton>
      <Button kind="quiet" icon="close" label="Clear the selection" onClick={onClear} />
    </div>
  );
}
