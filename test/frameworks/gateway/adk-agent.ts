/** An agent of ADK, served by ADK's own A2A module. It answers in two words, and waits for `POST /release` between them. */
import { EventEmitter, once } from 'node:events';
import { createServer } from 'node:http';
import {
  BaseLlm,
  LlmAgent,
  toA2a,
  type BaseLlmConnection,
  type LlmRequest,
  type LlmResponse,
} from '@google/adk';

const port = Number(process.env['PORT']);
const releases = new EventEmitter();

class TwoWords extends BaseLlm {
  constructor() {
    super({ model: 'scripted' });
  }

  override async *generateContentAsync(_request: LlmRequest): AsyncGenerator<LlmResponse, void> {
    const create = (text: string, partial: boolean): LlmResponse => ({
      content: { role: 'model', parts: [{ text }] },
      partial,
    });
    yield create('hello ', true);
    await once(releases, 'release');
    yield create('world', true);
    yield create('hello world', false);
  }

  override async connect(): Promise<BaseLlmConnection> {
    throw new Error('not live');
  }
}

const agent = new LlmAgent({ name: 'greeter', description: 'Greets.', model: new TwoWords() });
const app = await toA2a(agent, { host: '127.0.0.1', port, allowUnauthenticated: true });
app.post('/release', (_request, response) => {
  releases.emit('release');
  response.end();
});
createServer(app).listen(port, '127.0.0.1', () => console.log(`listening at ${port}`));
