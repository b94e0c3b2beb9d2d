/**
 * A part of a message or an artifact: text as Markdown, data as a tree, images, and files to download. Content of agents
 * is never a page: HTML is text, and other files are offered as downloads.
 */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { Part } from '#shared/domain/message.ts';
import { request } from '../api/http.ts';
import { basePath } from '../api/session.ts';
import { formatBytes, toVisible } from '../lib/format.ts';
import { Button } from './basics.tsx';
import { Icon } from './icons.tsx';
import { JsonView } from './json-view.tsx';
import { Markdown } from './markdown.tsx';
import { act } from './toast.tsx';

const images = new Set(['image/png', 'image/jpeg', 'image/gif', 'image/webp', 'image/avif']);

export function PartView({ part }: { part: Part }): JSX.Element {
  const { text, data, mediaType = '' } = part;
  if (text !== undefined) {
    const isProse = mediaType === '' || /^text\/(?:plain|markdown)/.test(mediaType);
    return isProse ? <Markdown text={text} /> : <pre class="plain">{text}</pre>;
  }
  if (data !== undefined) return <JsonView value={data} label="Data" />;
  return <FileView part={part} />;
}

function FileView({ part }: { part: Part }): JSX.Element {
  const { filename, mediaType = 'application/octet-stream', raw } = part;
  const name = toVisible(filename ?? 'file');
  const isImage = images.has(mediaType);
  const [url, setUrl] = useState<string | undefined>();
  useEffect(() => {
    if (!isImage) return undefined;
    let made: string | undefined;
    let closed = false;
    readFile(part).then(
      (blob) => {
        if (closed) return;
        made = URL.createObjectURL(blob);
        setUrl(made);
      },
      () => undefined,
    );
    return () => {
      closed = true;
      if (made !== undefined) URL.revokeObjectURL(made);
    };
  }, [raw, part.url]);
  const size = raw === undefined ? '' : formatBytes(Math.floor((raw.length * 3) / 4));
  return (
    <figure class="file">
      {url !== undefined && <img src={url} alt={name} />}
      <figcaption>
        <Icon name="file" />
        <span class="file-name">{name}</span>
        <span class="hint">
          {mediaType} {size}
        </span>
        {canRead(part) ? (
          <Button icon="download" onClick={() => void act(() => download(part, name))}>
            Download
          </Button>
        ) : (
          <a href={part.url} target="_blank" rel="noopener noreferrer nofollow">
            {part.url}
          </a>
        )}
      </figcaption>
    </figure>
  );
}

/** Files of this agent are read with the credential of the user; others are only linked to. */
function canRead({ raw, url }: Part): boolean {
  return raw !== undefined || getOwnPath(url) !== undefined;
}

/** The path of a stored file on this server, whose address names the public URL. */
function getOwnPath(url: string | undefined): string | undefined {
  if (url === undefined || !URL.canParse(url)) return undefined;
  const found = /\/files\/[\da-f-]{36}\/[\w-]+$/.exec(new URL(url).pathname)?.[0];
  return found === undefined ? undefined : basePath + found;
}

async function readFile({ raw, url, mediaType }: Part): Promise<Blob> {
  if (raw !== undefined) {
    const bytes = Uint8Array.from(atob(raw), (char) => char.codePointAt(0) ?? 0);
    return new Blob([bytes], { type: mediaType ?? '' });
  }
  const { response, entry } = await request(getOwnPath(url) ?? '');
  entry.finish('(file)');
  return await response.blob();
}

async function download(part: Part, name: string): Promise<void> {
  const blob = await readFile(part);
  // Never opened as a page of this origin, even if it is HTML.
  const url = URL.createObjectURL(new Blob([blob], { type: 'application/octet-stream' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
