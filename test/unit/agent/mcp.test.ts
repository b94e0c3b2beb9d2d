import { test } from 'node:test';
import assert from 'node:assert/strict';
import { DefinitionError } from '#shared/agent/definition.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { declaredNames, isAllowed } from '#services/worker/agent/mcp/names.ts';
import { OutputWithFiles } from '#services/worker/agent/gemini/tools/tool.ts';
import { toToolOutput } from '#services/worker/agent/mcp/result.ts';

const least = `name: Small
description: Does little.
version: "1"
skills: [{ id: a, name: A, description: Does a., tags: [x] }]
instruction: Be brief.
mcpServers:
`;

function problemsIn(servers: string): readonly string[] {
  try {
    parseAgentDefinition(least + servers, 'agent.yaml');
  } catch (error) {
    assert.ok(error instanceof DefinitionError, String(error));
    return error.problems;
  }
  return [];
}

test('servers take their defaults', () => {
  const { mcpServers } = parseAgentDefinition(`${least}  web: { url: "http://x" }`, 'x');
  assert.deepEqual(mcpServers, { web: { url: 'http://x', timeoutSeconds: 60, maxOutputChars: 50_000 } });
});

test('what is wrong with a server is told with its place', () => {
  assert.deepEqual(
    problemsIn(`  2b: { url: "http://x" }
  none: { allow: [a] }
  both: { url: "http://x", command: y }
  mixed: { command: y, headers: { a: b } }
  typo: { url: "http://x", alow: [a] }
`),
    ['agent.yaml:11:28: mcpServers.typo.alow: unknown field; did you mean "allow"?'],
  );
  assert.deepEqual(
    problemsIn(`  2b: { url: "http://x" }
  none: { allow: [a] }
  both: { url: "http://x", command: y }
  mixed: { command: y, headers: { a: b } }
  secret: { url: "http://x", headers: { a: "Bearer \${NAME}" } }
`),
    [
      'agent.yaml:7:7: mcpServers.2b: the name of a server is a letter, then up to 31 letters, digits and "_"',
      'agent.yaml:8:9: mcpServers.none: set either command (a process) or url (streamable HTTP)',
      'agent.yaml:9:9: mcpServers.both: set either command (a process) or url (streamable HTTP)',
      'agent.yaml:10:24: mcpServers.mixed.headers: goes with url only',
      'agent.yaml:11:30: mcpServers.secret.headers: a has a "${" that is not of the form ${env:NAME}',
    ],
  );
});

test('allow and deny, with * for anything; deny counts more', () => {
  assert.equal(isAllowed('read_file', {}), true);
  assert.equal(isAllowed('read_file', { allow: ['read_*'] }), true);
  assert.equal(isAllowed('unread_file', { allow: ['read_*'] }), false);
  assert.equal(isAllowed('read_file', { allow: ['read_*'], deny: ['*file'] }), false);
  assert.equal(isAllowed('a.b', { allow: ['axb'] }), false);
  assert.equal(isAllowed('axb', { allow: ['a.b'] }), false);
});

test('names that collide get their server before them, whatever the order; what Gemini refuses is replaced', () => {
  const tools = [
    { server: 'files', name: 'search' },
    { server: 'files', name: 'read' },
    { server: 'web', name: 'search' },
    { server: 'web', name: 'ask_user' },
    { server: 'web', name: '1 weiß' },
    { server: 'web', name: 'x'.repeat(100) },
  ];
  assert.deepEqual(declaredNames(tools, new Set(['ask_user'])), [
    'files_search',
    'read',
    'web_search',
    'web_ask_user',
    '_1_wei_',
    'x'.repeat(64),
  ]);
  assert.deepEqual(
    declaredNames(
      [
        { server: 'a', name: 'b' },
        { server: 'c', name: 'a_b' },
        { server: 'd', name: 'b' },
      ],
      new Set(),
    ),
    ['a_b', 'a_b_2', 'd_b'],
  );
});

test('what a tool returns: structured content before text, errors thrown, long output cut and said so', () => {
  const text = (words: string) => ({ type: 'text' as const, text: words });
  assert.equal(toToolOutput({ content: [text('a'), text('b')] }, 100), 'a\nb');
  assert.deepEqual(toToolOutput({ content: [text('{"a":1}')], structuredContent: { a: 1 } }, 100), { a: 1 });
  assert.throws(
    () => toToolOutput({ content: [text('no such file')], isError: true }, 100),
    /^Error: no such file$/,
  );
  assert.equal(
    toToolOutput({ content: [text('0123456789')] }, 4),
    '0123\n[cut here: the first 4 of 10 characters]',
  );
});

test('images and files that the model can read belong to what a tool returns; others are only named', () => {
  const image = { type: 'image' as const, data: 'aGk=', mimeType: 'image/png' };
  const blob = (uri: string, mimeType: string) => ({
    type: 'resource' as const,
    resource: { uri, mimeType, blob: 'aGk=' },
  });
  const content = [
    image,
    blob('file:///a/b.pdf', 'application/pdf'),
    blob('file:///c.zip', 'application/zip'),
  ];
  const output = toToolOutput({ content }, 1000);
  assert.ok(output instanceof OutputWithFiles);
  assert.deepEqual(output.files, [
    { mediaType: 'image/png', data: 'aGk=' },
    { mediaType: 'application/pdf', data: 'aGk=', filename: 'b.pdf' },
  ]);
  assert.equal(
    output.output,
    '[image, image/png, 3 bytes, attached]\n[resource file:///a/b.pdf, application/pdf, attached]\n[resource file:///c.zip, application/zip: not shown]',
  );
  const large = { ...image, data: Buffer.alloc(9e6).toString('base64') };
  assert.equal(toToolOutput({ content: [large] }, 1000), '[image, image/png, 9000000 bytes: not shown]');
});
