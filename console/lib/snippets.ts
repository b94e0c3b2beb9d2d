/** A request of SendMessage as something to paste: into a shell, and into a program. */
import { textOf } from '#shared/domain/message.ts';
import type { SendParams } from './types.ts';

export interface SnippetTarget {
  /** The public address of the agent. */
  url: string;
  auth: 'none' | 'key' | 'token';
}

export function toCurl({ url, auth }: SnippetTarget, params: SendParams): string {
  const headers = ['Content-Type: application/json', 'A2A-Version: 1.0'];
  if (auth === 'key') headers.push('x-api-key: $LONGHAUL_API_KEY');
  if (auth === 'token') headers.push('Authorization: Bearer $LONGHAUL_API_KEY');
  return [
    `curl -s ${url}/a2a/v1/message:send`,
    ...headers.map((header) => `-H ${header.includes('$') ? `"${header}"` : quote(header)}`),
    `-d ${quote(JSON.stringify(params))}`,
  ].join(' \\\n  ');
}

/** Parts that the command cannot send are left out: it takes one text, URLs of files and a webhook. */
export function toCli({ url }: SnippetTarget, { message, configuration }: SendParams): string {
  const files = message.parts.flatMap((part) => part.url ?? []);
  const webhook = (configuration?.['taskPushNotificationConfig'] as { url?: string } | undefined)?.url;
  return [
    'npx longhaul send',
    quote(textOf(message.parts)),
    `--url ${url}`,
    ...files.map((file) => `--file ${quote(file)}`),
    ...(webhook === undefined ? [] : [`--webhook ${quote(webhook)}`]),
  ].join(' ');
}

export function toTypeScript({ url, auth }: SnippetTarget, params: SendParams): string {
  const { parts, contextId } = params.message;
  const [only] = parts;
  const isText = parts.length === 1 && only?.text !== undefined && Object.keys(only).length === 1;
  const content = isText ? JSON.stringify(only.text) : JSON.stringify(parts, undefined, 2);
  const webhook = params.configuration?.['taskPushNotificationConfig'];
  const options = {
    ...(contextId !== undefined && { contextId }),
    ...(params.metadata !== undefined && { metadata: params.metadata }),
    ...(webhook !== undefined && { webhook }),
  };
  const more = Object.keys(options).length === 0 ? '' : `, ${JSON.stringify(options)}`;
  const key = 'process.env.LONGHAUL_API_KEY';
  const headers =
    auth === 'none'
      ? ''
      : `, { headers: { ${auth === 'key' ? `'x-api-key': ${key}` : `authorization: \`Bearer \${${key}}\``} } }`;
  return [
    "import { connect } from 'longhaul/client';",
    '',
    `const agent = await connect('${url}'${headers});`,
    `const { task } = await agent.send(${content}${more});`,
    'for await (const event of agent.follow(task.id)) console.log(event);',
  ].join('\n');
}

/** Quotes a word for a POSIX shell. */
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
