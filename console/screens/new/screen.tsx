/** New: a message with text, files and data, its webhook and its start, and the request that sends it. */
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation } from 'wouter-preact';
import { agentCard, send } from '../../api/calls.ts';
import { createParams, emptyDraft, findProblem, type Draft, type DraftFile } from '../../lib/draft.ts';
import { formatBytes } from '../../lib/format.ts';
import { Button, Page } from '../../ui/basics.tsx';
import { Icon } from '../../ui/icons.tsx';
import { Snippets } from '../../ui/snippets.tsx';
import { act, showToast } from '../../ui/toast.tsx';
import { Options } from './options.tsx';

export function NewScreen(): JSX.Element {
  const [, navigate] = useLocation();
  const [draft, setDraft] = useState<Draft>(emptyDraft);
  const [messageId, setMessageId] = useState(() => crypto.randomUUID() as string);
  const [sending, setSending] = useState(false);
  const change = (values: Partial<Draft>): void => setDraft((known) => ({ ...known, ...values }));
  const problem = findProblem(draft);
  const params = createParams(draft, messageId);
  const skills = agentCard.value?.skills ?? [];

  const submit = async (): Promise<void> => {
    if (problem !== undefined) return;
    setSending(true);
    await act(async () => {
      const { task } = await send(params);
      if (task === undefined) showToast('The agent answered without a task.');
      else navigate(`/tasks/${task.id}`);
    });
    // A repeat with the same id would find the same task, so a new attempt after an error may keep it.
    setSending(false);
  };
  return (
    <Page title="New task">
      <div class="columns new">
        <form
          class="card"
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <label class="field">
            <span>Message</span>
            <textarea
              rows={6}
              autoFocus
              value={draft.text}
              onInput={(event) => change({ text: event.currentTarget.value })}
              onKeyDown={(event) => {
                if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void submit();
              }}
            />
          </label>
          <Examples skills={skills} onChoose={(text) => change({ text })} />
          <Files files={draft.files} onChange={(files) => change({ files })} />
          <Options draft={draft} onChange={change} />
          {problem !== undefined && !isUntouched(draft) && <p class="problem">{problem}</p>}
          <div class="actions">
            <Button kind="primary" type="submit" disabled={sending || problem !== undefined}>
              Send
            </Button>
            <Button
              onClick={() => {
                setDraft(emptyDraft);
                setMessageId(crypto.randomUUID());
              }}
            >
              Clear
            </Button>
            <span class="hint">Ctrl + Enter sends</span>
          </div>
        </form>
        <section class="card" aria-label="The request">
          <h2>The request that this sends</h2>
          <Snippets params={createParams({ ...draft, files: draft.files.map(shorten) }, messageId)} />
          <p class="hint">
            A repeat with the same messageId finds the same task, so it is safe to send again after an error.
          </p>
        </section>
      </div>
    </Page>
  );
}

const isUntouched = (draft: Draft): boolean =>
  draft.text === '' && draft.data === '' && draft.files.length === 0;

/** The preview of the request shows the start of a file only. */
const shorten = (file: DraftFile): DraftFile =>
  file.raw.length > 120 ? { ...file, raw: `${file.raw.slice(0, 120)}…` } : file;

interface ExamplesProps {
  skills: readonly { name: string; examples?: string[] }[];
  onChoose: (text: string) => void;
}

function Examples({ skills, onChoose }: ExamplesProps): JSX.Element | null {
  const examples = skills
    .flatMap(({ name, examples = [] }) => examples.map((text) => ({ name, text })))
    .slice(0, 6);
  if (examples.length === 0) return null;
  return (
    <div class="examples" role="group" aria-label="Examples of the agent's skills">
      {examples.map(({ name, text }) => (
        <button key={text} type="button" class="chip neutral" title={text} onClick={() => onChoose(text)}>
          {name}
        </button>
      ))}
    </div>
  );
}

function Files({
  files,
  onChange,
}: {
  files: readonly DraftFile[];
  onChange: (files: DraftFile[]) => void;
}): JSX.Element {
  const add = async (list: FileList | null): Promise<void> => {
    const added = await Promise.all([...(list ?? [])].map(readDraftFile));
    onChange([...files, ...added]);
  };
  return (
    <div class="field">
      <span id="files-label">Files</span>
      <input
        type="file"
        multiple
        aria-labelledby="files-label"
        onChange={(event) => {
          const input = event.currentTarget;
          void add(input.files).then(() => (input.value = ''));
        }}
      />
      {files.map((file, index) => (
        <div key={index} class="file-line">
          <Icon name="file" />
          <span class="file-name">{file.filename}</span>
          <span class="hint">
            {file.mediaType} {formatBytes(file.size)}
          </span>
          <Button
            kind="quiet"
            icon="close"
            label={`Remove ${file.filename}`}
            onClick={() => onChange(files.filter((_, at) => at !== index))}
          />
        </div>
      ))}
    </div>
  );
}

async function readDraftFile(file: File): Promise<DraftFile> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let binary = '';
  // In pieces: a call has a limited number of arguments.
  for (let at = 0; at < bytes.length; at += 32_768) {
    binary += String.fromCharCode(...bytes.subarray(at, at + 32_768));
  }
  return {
    filename: file.name,
    mediaType: file.type === '' ? 'application/octet-stream' : file.type,
    raw: btoa(binary),
    size: file.size,
  };
}
