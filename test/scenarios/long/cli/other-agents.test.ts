/** The commands of `longhaul` that work with any agent, against servers of the SDKs of A2A 1.0 and 0.3. */
import { describe } from 'node:test';
import { testCliWithAgent } from '../../../support/clients/cli-with-agent.ts';
import { startSdkAgent, startV03SdkAgent } from '../../../support/agents/sdk-agents.ts';

describe('longhaul with other agents', () => {
  testCliWithAgent('1.0 over JSON-RPC', '1.0', (t) => startSdkAgent(t, 'JSONRPC'));
  testCliWithAgent('1.0 over HTTP+JSON', '1.0', (t) => startSdkAgent(t, 'HTTP+JSON'));
  testCliWithAgent('0.3 over JSON-RPC', '0.3', startV03SdkAgent);
});
