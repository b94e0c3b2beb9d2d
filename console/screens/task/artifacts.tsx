/** The results of a task. An artifact that is being written grows as its text arrives. */
import type { JSX } from 'preact';
import { textOf, type Artifact } from '#shared/domain/message.ts';
import { CopyButton } from '../../ui/copy.tsx';
import { PartView } from '../../ui/part-view.tsx';

interface ArtifactsProps {
  artifacts: readonly Artifact[];
  writing: ReadonlySet<string>;
  running: boolean;
}

export function Artifacts({ artifacts, writing, running }: ArtifactsProps): JSX.Element {
  return (
    <section class="card artifacts" aria-label="Artifacts">
      <h2>Artifacts</h2>
      {artifacts.length === 0 && (
        <p class="hint">
          {running ? 'None so far. They appear as the agent writes them.' : 'This task has none.'}
        </p>
      )}
      {artifacts.map((artifact) => {
        const text = textOf(artifact.parts);
        const isWriting = writing.has(artifact.artifactId);
        return (
          <article key={artifact.artifactId} class={isWriting ? 'artifact writing' : 'artifact'}>
            <header>
              <h3>{artifact.name ?? artifact.artifactId}</h3>
              {isWriting && <span class="hint">writing</span>}
              {text !== '' && <CopyButton text={text} />}
            </header>
            {artifact.description !== undefined && <p class="hint">{artifact.description}</p>}
            {artifact.parts.map((part, index) => (
              <PartView key={index} part={part} />
            ))}
          </article>
        );
      })}
    </section>
  );
}
