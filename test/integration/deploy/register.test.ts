/** register.sh: the request by which Gemini Enterprise learns of an agent, made from the card of a real api server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { AgentSkill } from '@a2a-js/sdk';
import { startApiServer } from '../../support/services/api-server.ts';
import { runScript } from '../../support/deploy/scripts.ts';

const isMissing = ['curl', 'python3'].some((name) => spawnSync(name, ['--version']).status !== 0);

describe('register.sh', { skip: isMissing && 'curl or python3 is not installed' }, () => {
  const register = (...args: string[]) => runScript('register.sh', ['--dry-run', ...args], {});

  test('sends the card as one of A2A 0.3, with the address of the service', async (t) => {
    const { url } = await startApiServer(t, {});
    const { code, output, errors } = await register('--app', 'app', '--authorization', 'people', url);
    assert.equal(code, 0, errors);
    const [target = '', ...rest] = output.split('\n');
    assert.equal(
      target,
      'POST https://discoveryengine.googleapis.com/v1alpha/projects/my-project/locations/global/collections/default_collection/engines/app/assistants/default_assistant/agents',
    );
    const request = JSON.parse(rest.join('\n')) as {
      displayName: string;
      a2aAgentDefinition: { jsonAgentCard: string };
      authorizationConfig: { agentAuthorization: string };
    };
    const card = JSON.parse(request.a2aAgentDefinition.jsonAgentCard) as Record<string, unknown>;
    assert.deepEqual([card['url'], card['preferredTransport']], [`${url}/`, 'JSONRPC']);
    assert.match(String(card['protocolVersion']), /^0\.3/);
    assert.equal(card['name'], request.displayName);
    assert.equal(
      request.authorizationConfig.agentAuthorization,
      'projects/my-project/locations/global/authorizations/people',
    );
  });

  test('refuses a card whose skills have no tags', async (t) => {
    const bare = AgentSkill.fromJSON({ id: 'bare', name: 'Bare', description: 'Has no tags.' });
    const { url } = await startApiServer(t, {}, { changeCard: (card) => card.skills.push(bare) });
    const { code, errors } = await register('--app', 'app', url);
    assert.notEqual(code, 0);
    assert.match(errors, /skills without tags: bare/);
  });

  test('names what is missing', async () => {
    const { code, errors } = await register('https://agent.example');
    assert.deepEqual([code, /expected --app/.test(errors)], [64, true]);
  });
});
