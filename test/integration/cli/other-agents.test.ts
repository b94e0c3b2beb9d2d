/** The commands of `longhaul` that work with any agent, against servers of the SDKs of A2A 1.0 and 0.3. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { describe, test, type TestContext } from 'node:test';
import { AgentCard, generateAgentCardSignature } from '@a2a-js/sdk';
import { runCli } from '../../support/cli.ts';
import type { RunResult } from '../../support/processes/run.ts';
import { listen } from '../../support/listen.ts';
import { startSdkAgent, startV03SdkAgent } from '../../support/sdk-agents.ts';

const agents: [string, '1.0' | '0.3', (t: TestContext) => Promise<string>][] = [
  ['1.0 over JSON-RPC', '1.0', (t) => startSdkAgent(t, 'JSONRPC')],
  ['1.0 over HTTP+JSON', '1.0', (t) => startSdkAgent(t, 'HTTP+JSON')],
  ['0.3 over JSON-RPC', '0.3', startV03SdkAgent],
];

describe('longhaul with other agents', () => {
  for (const [name, version, start] of agents) {
    test(`sends, watches, answers and cancels with A2A ${name}`, async (t) => {
      const LONGHAUL_URL = await start(t);
      const longhaul = (...args: string[]): Promise<RunResult> => runCli(args, { env: { LONGHAUL_URL } });
      const [card, waited, streamed, asked, detached, list] = await Promise.all([
        longhaul('card'),
        longhaul('send', 'hi'),
        longhaul('send', 'hi', '--stream', '--json'),
        longhaul('send', 'ask', '--json'),
        longhaul('send', 'wait', '--detach'),
        longhaul('list'),
      ]);
      assert.equal(card.status, 0, card.stdout + card.stderr);
      assert.match(card.stdout, new RegExp(`\\(A2A ${version}\\)`));
      assert.deepEqual(waited, { status: 0, stdout: 'hello world\n', stderr: '' });
      const events = streamed.stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      assert.equal(events.at(-1).statusUpdate.status.state, 'TASK_STATE_COMPLETED', streamed.stderr);
      assert.equal(asked.status, 3, asked.stderr);
      assert.match(list.stderr + list.stdout, version === '0.3' ? /tasks\/list/ : /TASK|^$/);

      const waiting = detached.stdout.trim();
      const [answered, watched, read] = await Promise.all([
        longhaul('answer', JSON.parse(asked.stdout).id, 'Paris'),
        longhaul('watch', waiting),
        longhaul('get', waiting, '--json'),
        longhaul('cancel', waiting),
      ]);
      assert.deepEqual([answered.status, answered.stdout], [0, 'hello world\n'], answered.stderr);
      assert.equal(watched.status, 1, watched.stderr);
      assert.equal(JSON.parse(read.stdout).id, waiting);
    });
  }

  test('card verifies signatures and names what is not valid', async (t) => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    let card: object = {};
    const url = await listen(
      t,
      createServer((request, response) => {
        const keys = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }] };
        response.end(JSON.stringify(request.url === '/keys' ? keys : card));
      }),
    );
    const sign = generateAgentCardSignature(privateKey, {
      alg: 'ES256',
      kid: 'one',
      typ: 'JOSE',
      jku: `${url}/keys`,
    });
    const signed = AgentCard.toJSON(
      await sign(
        AgentCard.fromJSON({
          name: 'A',
          supportedInterfaces: [{ url: 'http://example.com', protocolBinding: 'JSONRPC' }],
        }),
      ),
    ) as object;
    card = signed;
    const valid = await runCli(['card', url]);
    assert.match(valid.stdout, /signature {2}one: verified with the key from http/);
    assert.match(valid.stdout, /problem {4}description is missing/);
    assert.match(valid.stdout, /problem {4}supportedInterfaces\.0\.url must use https/);
    assert.equal(valid.status, 1);
    card = { ...signed, name: 'B' };
    const changed = await runCli(['card', url, '--json']);
    assert.equal(changed.status, 1);
    assert.match(JSON.parse(changed.stdout).signatures[0].problem, /not valid/);
  });

  test('a key is sent only to the host that the user named', async (t) => {
    const elsewhere = { url: 'https://example.com/a2a', protocolBinding: 'JSONRPC', protocolVersion: '1.0' };
    const seen: (string | undefined)[] = [];
    const url = await listen(
      t,
      createServer((request, response) => {
        seen.push(request.headers.authorization, request.headers['x-api-key'] as string | undefined);
        response.end(JSON.stringify({ name: 'A', supportedInterfaces: [elsewhere] }));
      }),
    );
    const { status, stderr } = await runCli(['get', 'x', '--url', url], {
      env: { LONGHAUL_API_KEY: 'secret' },
    });
    assert.equal(status, 2);
    assert.match(stderr, /a key is sent only to the host that you name: use --url https:\/\/example\.com/);
    assert.deepEqual(seen, [undefined, undefined]);
  });
});
