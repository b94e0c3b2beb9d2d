/** The agent card over HTTP: caching, signature, and the extended card for authenticated callers. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { before, describe, test } from 'node:test';
import { AgentCard, verifyAgentCardSignature } from '@a2a-js/sdk';
import { createRemoteJWKSet, exportJWK, flattenedVerify, generateKeyPair, type JWK } from 'jose';
import { toCanonicalJson } from '#shared/agent/canonical-hash.ts';
import { apiKeysEnv, bobKey } from '../../support/services/api-keys.ts';
import { type Cleanup, createSuiteCleanup } from '../../support/cleanup.ts';
import { callJsonRpc, postJsonRpc } from '../../support/clients/json-rpc.ts';
import { startStack, type Stack } from '../../support/stack.ts';
import { writeTempFile } from '../../support/temp-dir.ts';
import type { AnyJson } from '../../support/clients/any-json.ts';

const cardPath = '/.well-known/agent-card.json';
const jwksPath = '/.well-known/jwks.json';

describe('the agent card', () => {
  const cleanup = createSuiteCleanup();
  let stack: Stack;
  before(async () => {
    stack = await startStack(cleanup, { ...apiKeysEnv(), ...(await writeConfigurationFiles(cleanup)) });
    await stack.start('api');
  });

  function get(pathname: string, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`${stack.apiUrl}${pathname}`, { headers });
  }

  async function readCard(): Promise<AnyJson> {
    return (await get(cardPath)).json();
  }

  test('is revalidated by its entity tag and its date', async () => {
    const first = await get(cardPath);
    const etag = first.headers.get('etag') ?? '';
    const modified = first.headers.get('last-modified') ?? '';
    assert.match(etag, /^"[\w-]+"$/);
    assert.match(first.headers.get('cache-control') ?? '', /max-age=\d+/);
    for (const [headers, status] of [
      [{ 'if-none-match': etag }, 304],
      [{ 'if-none-match': `"other", W/${etag}` }, 304],
      [{ 'if-none-match': '*' }, 304],
      [{ 'if-none-match': '"other"' }, 200],
      [{ 'if-none-match': '"other"', 'if-modified-since': modified }, 200],
      [{ 'if-modified-since': modified }, 304],
      [{ 'if-modified-since': 'Thu, 01 Jan 2015 00:00:00 GMT' }, 200],
      [{ 'if-modified-since': 'nonsense' }, 200],
    ] as [Record<string, string>, number][]) {
      const response = await get(cardPath, headers);
      assert.equal(response.status, status, JSON.stringify(headers));
      assert.equal(response.headers.get('etag'), etag);
      assert.equal((await response.text()).length > 0, status === 200);
    }
  });

  // [CARD-SIGN-001] [CARD-SIGN-003]
  test('has a signature that the SDK verifies with the published key', async (t) => {
    const body = await readCard();
    const { kid } = JSON.parse(Buffer.from(body.signatures[0].protected, 'base64url').toString());
    const card = AgentCard.fromJSON(body);
    const verify = verifyAgentCardSignature(async (requestedKid, jku) => {
      assert.equal(requestedKid, kid);
      assert.equal(jku, `${stack.apiUrl}${jwksPath}`);
      return createRemoteJWKSet(new URL(jku))({ alg: 'ES256', kid: requestedKid });
    });
    // The SDK logs failed verifications there.
    t.mock.method(console, 'debug', () => undefined);
    await verify(card);
    await assert.rejects(verify({ ...card, name: 'somebody else' }), /No valid signatures/);
    const jwks = (await (await get(jwksPath)).json()) as { keys: JWK[] };
    assert.equal(jwks.keys[0]?.d, undefined, 'the private part is not published');
  });

  test('has a signature that covers all that a client without a version receives', async () => {
    const { signatures, ...rest } = await readCard();
    assert.equal(signatures.length, 2);
    const payload = Buffer.from(toCanonicalJson(rest)).toString('base64url');
    const keys = createRemoteJWKSet(new URL(`${stack.apiUrl}${jwksPath}`));
    await flattenedVerify({ ...signatures[0], payload }, keys);
    const changed = Buffer.from(toCanonicalJson({ ...rest, url: 'https://evil.example' })).toString(
      'base64url',
    );
    await assert.rejects(flattenedVerify({ ...signatures[0], payload: changed }, keys));
    const current = (await (await get(cardPath, { 'a2a-version': '1.0' })).json()) as AgentCard;
    assert.deepEqual(current.signatures, [signatures[1]]);
  });

  test('is served at the path of A2A 0.2 too', async () => {
    const response = await get('/.well-known/agent.json');
    assert.equal(response.status, 200);
    assert.deepEqual(await response.json(), await readCard());
  });

  // [CARD-EXT-001] [CARD-STRUCT-001]
  test('declares the security scheme and the extended card', async () => {
    const body = await readCard();
    assert.deepEqual(body.securityRequirements, [{ schemes: { apiKey: {} } }]);
    assert.equal(body.securitySchemes.apiKey.apiKeySecurityScheme.name, 'x-api-key');
    assert.equal(body.capabilities.extendedAgentCard, true);
    assert.doesNotMatch(JSON.stringify(body), /audit/, 'the skill of the extended card');
  });

  // [CARD-EXT-001] [CARD-EXT-002]
  test('is extended, and signed again, for authenticated callers only', async () => {
    assert.equal((await postJsonRpc(stack.apiUrl, 'GetExtendedAgentCard', {})).status, 401);
    const { result } = await callJsonRpc(stack.apiUrl, 'GetExtendedAgentCard', {}, { headers: bobKey });
    const extended = AgentCard.fromJSON(result);
    assert.ok(extended.skills.some(({ id }) => id === 'audit'));
    assert.ok(extended.skills.length > (await readCard()).skills.length);
    await verifyAgentCardSignature((kid) =>
      createRemoteJWKSet(new URL(`${stack.apiUrl}${jwksPath}`))({ alg: 'ES256', kid }),
    )(extended);
    // The card of 0.3 has none of the signed fields.
    const v03 = await callJsonRpc(
      stack.apiUrl,
      'agent/getAuthenticatedExtendedCard',
      {},
      {
        headers: { ...bobKey, 'a2a-version': '0.3' },
      },
    );
    assert.ok(v03.result.skills.some(({ id }: { id: string }) => id === 'audit'));
    assert.equal(v03.result.signatures, undefined);
  });
});

/** Writes a signing key, and the agent of this project with a skill for authenticated callers. */
async function writeConfigurationFiles(t: Cleanup): Promise<Record<string, string>> {
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const skill = '{ id: audit, name: Audit, description: Audits accounts., tags: [numbers] }';
  const definition = `${await readFile('agent.yaml', 'utf8')}\nextendedSkills:\n  - ${skill}\n`;
  return {
    CARD_SIGNING_KEY_FILE: writeTempFile(t, 'key.json', JSON.stringify(await exportJWK(privateKey))),
    AGENT_FILE: writeTempFile(t, 'agent.yaml', definition),
  };
}
