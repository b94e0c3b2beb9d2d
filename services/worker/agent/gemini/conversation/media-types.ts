/** Which files Gemini takes, and under which types. */

const images = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/heic', 'image/heif']);

/** Text of these is told apart by no model API: it goes as plain text. */
const textual =
  /^text\/|^application\/(?:[\w.-]+\+)?(?:json|xml|yaml)$|^application\/(?:x-)?(?:yaml|javascript|sh)$/;

export const takenTypes = 'text, PDF, PNG, JPEG, WebP, HEIC, audio and video';

/** The type under which Gemini takes a file; undefined: it takes none of this type. */
export function takenType(mediaType = ''): string | undefined {
  const type = (mediaType.split(';')[0] ?? '').trim().toLowerCase();
  if (type === 'image/jpg') return 'image/jpeg';
  if (images.has(type) || type === 'application/pdf' || /^(?:audio|video)\//.test(type)) return type;
  return textual.test(type) ? 'text/plain' : undefined;
}

const types: Record<string, string> = {
  csv: 'text/csv',
  flac: 'audio/flac',
  gif: 'image/gif',
  heic: 'image/heic',
  html: 'text/html',
  jpeg: 'image/jpeg',
  jpg: 'image/jpeg',
  json: 'application/json',
  md: 'text/markdown',
  mov: 'video/quicktime',
  mp3: 'audio/mpeg',
  mp4: 'video/mp4',
  ogg: 'audio/ogg',
  pdf: 'application/pdf',
  png: 'image/png',
  txt: 'text/plain',
  wav: 'audio/wav',
  webm: 'video/webm',
  webp: 'image/webp',
  xml: 'application/xml',
  yaml: 'application/yaml',
};

/** What the ending of a file's name or address says. */
export function typeByName(name = ''): string | undefined {
  const extension = /\.(\w+)(?:[?#].*)?$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return types[extension];
}
