import { test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import type { JsonObject } from '#shared/domain/message.ts';
import { RetryableError } from '#shared/domain/errors.ts';
import { parseAgentDefinition } from '#shared/agent/load-definition.ts';
import { OutputWithFiles, type Tool } from '#services/worker/agent/gemini/tools/tool.ts';
import { CredentialsError } from '#services/worker/agent/errors.ts';
import { createMcpTools, type McpTools } from '#services/worker/agent/mcp/tools.ts';
import { everythingFile, startMcpServer } from '../../support/fakes/mcp-server.ts';

const secrets = new Map([['TOKEN', 's3cret']]);

function mcpTools(t: TestContext): McpTools {
  const tools = createMcpTools((name) => secrets.get(name));
  t.after(() => tools.close());
  return tools;
}

function serversIn(mcpServers: JsonObject) {
  const yaml = {
    name: 'Small',
    description: 'Does little.',
    version: '1',
    skills: [{ id: 'a', name: 'A', description: 'Does a.', tags: [] }],
    instruction: 'Be brief.',
    mcpServers,
  };
  return parseAgentDefinition(JSON.stringify(yaml), 'x').mcpServers;
}

async function toolsOf(mcp: McpTools, servers: JsonObject, taken: string[] = []): Promise<Map<string, Tool>> {
  const tools = await mcp.toolsOf(serversIn(servers), new Set(taken));
  return new Map(tools.map((tool) => [tool.declaration.name, tool]));
}

function call(tools: Map<string, Tool>, name: string, args: JsonObject = {}, signal?: AbortSignal) {
  const tool = tools.get(name);
  assert.ok(tool !== undefined, `${name} is not among ${[...tools.keys()].join()}`);
  return tool.call(args, { idempotencyKey: 'key-1', signal: signal ?? new AbortController().signal });
}

test('streamable HTTP: tools are listed, called with key and headers, shared, filtered, renamed', async (t) => {
  const server = await startMcpServer(t);
  const mcp = mcpTools(t);
  const headers = { authorization: 'Bearer ${env:TOKEN}' };
  const tools = await toolsOf(mcp, { all: { url: server.url, headers } });
  assert.equal(await call(tools, 'get-sum', { a: 1, b: 2 }), 'The sum of 1 and 2 is 3.');
  assert.equal(server.calls[0]?.key, 'key-1');
  assert.equal(server.calls[0]?.headers['authorization'], 'Bearer s3cret');
  assert.equal(tools.get('get-sum')?.sideEffects, false, 'readOnlyHint: true');
  assert.equal(tools.get('gzip-file-as-resource')?.sideEffects, true, 'readOnlyHint: false');
  assert.equal(tools.get('get-sum')?.declaration.parametersJsonSchema?.['$schema' as never], undefined);
  const weather = await call(tools, 'get-structured-content', { location: 'New York' });
  assert.equal((weather as JsonObject)['conditions'], 'Cloudy');
  await assert.rejects(call(tools, 'get-sum', { a: 'x' }), /Input validation error/);
  const image = await call(tools, 'get-tiny-image');
  assert.ok(image instanceof OutputWithFiles);
  assert.match(JSON.stringify(image.output), /\[image, image\/png, \d+ bytes, attached\]/);
  assert.match(image.files[0]?.data ?? '', /^iVBOR/);

  const two = await toolsOf(
    mcp,
    {
      all: { url: server.url, headers, allow: ['get-*', 'echo'], deny: ['get-env'], maxOutputChars: 100 },
      more: { url: server.url, allow: ['echo'] },
    },
    ['get-sum'],
  );
  assert.deepEqual(
    [...two.keys()].filter((name) => /echo|sum|env|trigger/.test(name)),
    ['all_echo', 'all_get-sum', 'more_echo'],
  );
  assert.match(
    JSON.stringify(await call(two, 'all_echo', { message: 'x'.repeat(200) })),
    /cut here: the first 100 of 2\d\d/,
  );
  const sessions = new Set(server.calls.map((one) => one.headers['mcp-session-id']));
  assert.equal(sessions.size, 1, 'the second definition of the same server shares its connection');
});

test('stdio: a process with the variables that are named for it; another when it dies', async (t) => {
  const mcp = mcpTools(t);
  const env = { GIVEN: 'is ${env:TOKEN}' };
  const tools = await toolsOf(mcp, {
    all: { command: process.execPath, args: [everythingFile, 'stdio'], env },
  });
  const seen = JSON.stringify(await call(tools, 'get-env'));
  assert.match(seen, /GIVEN\\": \\"is s3cret/);
  assert.doesNotMatch(seen, /DATABASE_URL|npm_/);
  const broken = mcp.toolsOf(
    serversIn({
      bad: { command: process.execPath, args: ['-e', 'console.error("no disk"); process.exit(1)'] },
    }),
    new Set(),
  );
  await assert.rejects(broken, (error: unknown) => {
    assert.ok(error instanceof RetryableError);
    assert.equal(error.message, 'The MCP server "bad" cannot be used at present.');
    assert.match(String(error.cause), /no disk/);
    return true;
  });
});

test('a server that begins anew is found again; a call on the way is repeated only where that is harmless', async (t) => {
  const server = await startMcpServer(t);
  const tools = await toolsOf(mcpTools(t), { all: { url: server.url } });
  await call(tools, 'echo', { message: 'a' });
  await server.restart();
  assert.equal(await call(tools, 'echo', { message: 'b' }), 'Echo: b');
  const slow = { duration: 2, steps: 1 };
  const reading = call(tools, 'trigger-long-running-operation', slow);
  const writing = call(tools, 'simulate-research-query', { topic: 'x' });
  const lost = assert.rejects(writing, /whether it took effect is unknown|cannot be reached/);
  await server.call(server.calls.length + 2);
  await server.restart();
  assert.match(JSON.stringify(await reading), /Long running operation completed/);
  await lost;
  const counts = Map.groupBy(server.calls, ({ name }) => name);
  assert.equal(counts.get('trigger-long-running-operation')?.length, 2);
  assert.equal(counts.get('simulate-research-query')?.length, 1);
});

test('a timeout, an abort, refused or missing credentials, nobody there: each its own end', async (t) => {
  const server = await startMcpServer(t);
  const mcp = mcpTools(t);
  const tools = await toolsOf(mcp, { all: { url: server.url, timeoutSeconds: 3 } });
  const slow = { duration: 30, steps: 1 };
  await assert.rejects(call(tools, 'trigger-long-running-operation', slow), /no answer within 3 s/);
  const stop = new AbortController();
  const running = call(tools, 'trigger-long-running-operation', slow, stop.signal);
  await server.call(2);
  stop.abort(new Error('cancelled'));
  await assert.rejects(running, /cancelled/);
  server.refuse(401);
  await assert.rejects(call(tools, 'echo', { message: 'a' }), CredentialsError);
  await assert.rejects(toolsOf(mcp, { other: { url: server.url } }), CredentialsError);
  server.refuse(undefined);
  assert.equal(await call(tools, 'echo', { message: 'a' }), 'Echo: a');
  const headers = { a: '${env:MISSING} ${env:TOKEN}' };
  await assert.rejects(toolsOf(mcp, { other: { url: server.url, headers } }), (error: unknown) => {
    assert.ok(error instanceof CredentialsError);
    assert.match(error.message, /"other" needs credentials that this agent was not given: MISSING\./);
    return true;
  });
  await assert.rejects(toolsOf(mcp, { none: { url: 'http://127.0.0.1:1/mcp' } }), RetryableError);
});
