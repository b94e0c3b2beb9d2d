/** The file types that Gemini accepts, and the types under which files are sent. */

const images = new Set(['image/png', 'image/jpeg', 'image/webp', 'image/heic', 'image/heif']);

/** The model APIs have one type for all text, so these are sent as plain text. */
const textual =
  /^text\/|^application\/(?:[\w.-]+\+)?(?:json|xml|yaml)$|^application\/(?:x-)?(?:yaml|javascript|sh)$/;

export const supportedTypes = 'text, PDF, PNG, JPEG, WebP, HEIC, audio or video';

/** Returns the type under which a file is sent, or undefined if Gemini does not accept it. */
export function toSupportedType(mediaType = ''): string | undefined {
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

/** Returns the media type for the extension of a file name or URL. */
export function getTypeByExtension(name = ''): string | undefined {
  const extension = /\.(\w+)(?:[?#].*)?$/.exec(name)?.[1]?.toLowerCase() ?? '';
  return types[extension];
}
