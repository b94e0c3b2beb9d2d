import { describe, test } from 'node:test';
import type { JSONRPCMessage, Transport } from '@modelcontextprotocol/client';
import assert from 'node:assert/strict';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { isAllowed, toDeclaredNames } from '#services/worker/agent/mcp/names.ts';
import { OutputWithFiles } from '#services/worker/agent/gemini/tools/tool.ts';
import { toToolOutput } from '#services/worker/agent/mcp/result.ts';
import { findProblems } from '../../support/agents/definition.ts';
import { correctMessages } from '#services/worker/agent/mcp/messages.ts';

const minimal = `name: Small
description: Does little.
version: "1"
skills: [{ id: a, name: A, description: Does a., tags: [x] }]
instruction: Be brief.
mcpServers:
`;

describe('MCP servers in a definition', () => {
  test('get defaults for omitted fields', () => {
    const { mcpServers } = parseAgentDefinition(`${minimal}  web: { url: "http://x" }`, 'x');
    assert.deepEqual(mcpServers, {
      web: { url: 'http://x', timeoutSeconds: 60, maxSeconds: 3600, maxOutputChars: 50_000 },
    });
  });

  test('are checked by the schema before all other rules', () => {
    const problems = findProblems(`${minimal}  2b: { url: "http://x" }
  none: { allow: [a] }
  both: { url: "http://x", command: y }
  mixed: { command: y, headers: { a: b } }
  typo: { url: "http://x", alow: [a] }
`);
    assert.deepEqual(problems, [
      'agent.yaml:11:28: mcpServers.typo.alow: unknown field (did you mean "allow"?)',
    ]);
  });

  test('have their problems reported by line and column', () => {
    const problems = findProblems(`${minimal}  2b: { url: "http://x" }
  none: { allow: [a] }
  both: { url: "http://x", command: y }
  mixed: { command: y, headers: { a: b } }
  secret: { url: "http://x", headers: { a: "Bearer \${NAME}" } }
`);
    assert.deepEqual(problems, [
      'agent.yaml:7:7: mcpServers.2b: the name of the server is not valid (expected a letter, then up to 31 letters, digits or "_")',
      'agent.yaml:8:9: mcpServers.none: must have either command (a process) or url (streamable HTTP)',
      'agent.yaml:9:9: mcpServers.both: must have either command (a process) or url (streamable HTTP)',
      'agent.yaml:10:24: mcpServers.mixed.headers: is accepted only with url',
      'agent.yaml:11:30: mcpServers.secret.headers: a has an invalid "${" (expected ${env:NAME})',
    ]);
  });
});

describe('other agents in a definition', () => {
  const head = minimal.replace('mcpServers', 'agents');

  test('get defaults for omitted fields', () => {
    const { agents, limits } = parseAgentDefinition(`${head}  peer: { url: "http://x" }`, 'x');
    assert.deepEqual(agents, { peer: { url: 'http://x', timeoutSeconds: 86_400, maxOutputChars: 50_000 } });
    assert.equal(limits.hops, 8);
  });

  test('have their problems reported by line and column', () => {
    const problems = findProblems(`${head}  2b: { url: "http://x" }
  none: { auth: x }
  bad: { url: "http://[" }
  secret: { card: "http://x", auth: "\${NAME}", headers: { a: "\${env:B} \${C}" } }
`);
    assert.deepEqual(problems, [
      'agent.yaml:7:3: agents.2b: the name of the agent is not valid (expected a letter, then up to 31 letters, digits or "_")',
      'agent.yaml:8:3: agents.none: must have url (of the agent) or card (the URL of its card)',
      'agent.yaml:9:10: agents.bad.url: "http://[" is not a URL',
      'agent.yaml:10:31: agents.secret.auth: has an invalid "${" (expected ${env:NAME})',
      'agent.yaml:10:48: agents.secret.headers: a has an invalid "${" (expected ${env:NAME})',
    ]);
  });
});

describe('isAllowed', () => {
  test('matches anything with *, and deny takes precedence', () => {
    assert.equal(isAllowed('read_file', {}), true);
    assert.equal(isAllowed('read_file', { allow: ['read_*'] }), true);
    assert.equal(isAllowed('unread_file', { allow: ['read_*'] }), false);
    assert.equal(isAllowed('read_file', { allow: ['read_*'], deny: ['*file'] }), false);
  });

  test('takes every other character literally', () => {
    assert.equal(isAllowed('a.b', { allow: ['axb'] }), false);
    assert.equal(isAllowed('axb', { allow: ['a.b'] }), false);
  });
});

describe('toDeclaredNames', () => {
  test('prefixes colliding names with their server and replaces invalid characters', () => {
    const tools = [
      { server: 'files', name: 'search' },
      { server: 'files', name: 'read' },
      { server: 'web', name: 'search' },
      { server: 'web', name: 'ask_user' },
      { server: 'web', name: '1 weiß' },
      { server: 'web', name: 'x'.repeat(100) },
    ];
    assert.deepEqual(toDeclaredNames(tools, new Set(['ask_user'])), [
      'files_search',
      'read',
      'web_search',
      'web_ask_user',
      '_1_wei_',
      'x'.repeat(64),
    ]);
  });

  test('numbers names that still collide with their prefix', () => {
    const tools = [
      { server: 'a', name: 'b' },
      { server: 'c', name: 'a_b' },
      { server: 'd', name: 'b' },
    ];
    assert.deepEqual(toDeclaredNames(tools, new Set()), ['a_b', 'a_b_2', 'd_b']);
  });
});

describe('toToolOutput', () => {
  const text = (words: string) => ({ type: 'text' as const, text: words });
  const image = { type: 'image' as const, data: 'aGk=', mimeType: 'image/png' };

  test('joins the texts of a result', () => {
    assert.equal(toToolOutput({ content: [text('a'), text('b')] }, 100), 'a\nb');
  });

  test('prefers structured content to text', () => {
    const result = { content: [text('{"a":1}')], structuredContent: { a: 1 } };
    assert.deepEqual(toToolOutput(result, 100), { a: 1 });
  });

  test('throws the message of an error result', () => {
    const result = { content: [text('no such file')], isError: true };
    assert.throws(() => toToolOutput(result, 100), /^Error: no such file$/);
  });

  test('cuts long output and says so', () => {
    const output = toToolOutput({ content: [text('0123456789')] }, 4);
    assert.equal(output, '0123\n[cut: the first 4 of 10 characters]');
  });

  test('attaches the files that the model can read and names the others', () => {
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
      '[image, image/png, 3 bytes, attached]\n[resource file:///a/b.pdf, application/pdf, attached]\n[resource file:///c.zip, application/zip, not shown]',
    );
  });

  test('only names a file of more than 8 MiB', () => {
    const large = { ...image, data: Buffer.alloc(9e6).toString('base64') };
    assert.equal(toToolOutput({ content: [large] }, 1000), '[image, image/png, 9000000 bytes, not shown]');
  });
});

describe('the messages of a server', () => {
  test('are corrected for the last 1,000 requests without an answer', async () => {
    const received: JSONRPCMessage[] = [];
    const transport: Transport = {
      start: async () => undefined,
      close: async () => undefined,
      send: async () => undefined,
      onmessage: (message: JSONRPCMessage) => void received.push(message),
    };
    correctMessages(transport);
    for (let id = 0; id <= 1000; id += 1) {
      await transport.send({ jsonrpc: '2.0', id, method: 'tools/call', params: {} });
    }
    for (const id of [0, 1, 1000]) transport.onmessage?.({ jsonrpc: '2.0', id, result: {} });
    const results = received.map((message) => 'result' in message && 'content' in message.result);
    assert.deepEqual(results, [false, true, true]);
  });
});
