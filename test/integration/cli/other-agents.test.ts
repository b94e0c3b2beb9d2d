/** The commands of `longhaul` that work with any agent, against a server of the SDK. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { AgentCard, generateAgentCardSignature } from '@a2a-js/sdk';
import { runCli } from '../../support/clients/cli.ts';
import { listen } from '../../support/network/listen.ts';

describe('longhaul with other agents', () => {
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
