/** Agent: the card, its signature, the endpoints and extensions that clients see, and the wire log of this session. */
import type { JSX } from 'preact';
import { agentCard, loadCard } from '../../api/calls.ts';
import { basePath } from '../../api/session.ts';
import type { AgentCard } from '../../lib/types.ts';
import { toVisible } from '../../lib/format.ts';
import { Button, Page, Pill, Skeleton } from '../../ui/basics.tsx';
import { CopyButton } from '../../ui/copy.tsx';
import { useData } from '../../ui/data.ts';
import { JsonView } from '../../ui/json-view.tsx';
import { act } from '../../ui/toast.tsx';
import { verifyCard, type Verification } from './signature.ts';
import { WireLog } from './wire-log.tsx';

export function AgentScreen(): JSX.Element {
  const card = agentCard.value;
  return (
    <Page
      title="Agent"
      actions={
        <Button icon="refresh" onClick={() => void act(loadCard, 'The card was read again.')}>
          Read the card again
        </Button>
      }
    >
      {card === undefined ? (
        <Skeleton lines={8} />
      ) : (
        <div class="columns">
          <div>
            <Summary card={card} />
            <Interfaces card={card} />
            <Extensions card={card} />
          </div>
          <div>
            <WireLog />
            <section class="card" aria-label="The card">
              <header class="card-head">
                <h2>The card as JSON</h2>
                <CopyButton text={JSON.stringify(card, undefined, 2)}>Copy</CopyButton>
              </header>
              <JsonView value={card} label="Agent card" />
            </section>
          </div>
        </div>
      )}
    </Page>
  );
}

function Summary({ card }: { card: AgentCard }): JSX.Element {
  const { name, description, version, capabilities, skills, defaultInputModes, defaultOutputModes } = card;
  return (
    <section class="card" aria-label="Summary">
      <header class="card-head">
        <h2>{toVisible(name)}</h2>
        <span class="hint">version {version}</span>
        <Signature card={card} />
      </header>
      <p>{description}</p>
      <dl class="pairs">
        <dt>Streaming</dt>
        <dd>{capabilities.streaming === true ? 'yes' : 'no'}</dd>
        <dt>Webhooks</dt>
        <dd>{capabilities.pushNotifications === true ? 'yes' : 'no'}</dd>
        <dt>Input</dt>
        <dd>{defaultInputModes.join(', ')}</dd>
        <dt>Output</dt>
        <dd>{defaultOutputModes.join(', ')}</dd>
      </dl>
      <h3>Skills</h3>
      <ul class="skills">
        {skills.map((skill) => (
          <li key={skill.id}>
            <strong>{skill.name}</strong> <span class="hint">{skill.description}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const verdicts: Readonly<Record<Verification['result'], { tone: 'good' | 'bad' | 'muted'; text: string }>> = {
  unsigned: { tone: 'muted', text: 'Not signed' },
  valid: { tone: 'good', text: 'Signature valid' },
  invalid: { tone: 'bad', text: 'Signature not valid' },
  unknown: { tone: 'bad', text: 'Signature not verified' },
};

function Signature({ card }: { card: AgentCard }): JSX.Element | null {
  const { data } = useData(() => verifyCard(`${basePath}/.well-known/agent-card.json`), [card]);
  if (data === undefined) return null;
  const { tone, text } = verdicts[data.result];
  return (
    <span title={data.detail}>
      <Pill tone={tone}>{text}</Pill>
    </span>
  );
}

function Interfaces({ card }: { card: AgentCard }): JSX.Element {
  return (
    <section class="card" aria-label="Endpoints">
      <h2>Endpoints, in the order in which a client chooses</h2>
      <table class="table">
        <tbody>
          {card.supportedInterfaces.map(({ url, protocolBinding, protocolVersion }) => (
            <tr key={`${url} ${protocolBinding} ${protocolVersion}`}>
              <td>{protocolBinding}</td>
              <td>{protocolVersion}</td>
              <td class="mono">{url}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>Authentication</h3>
      <p class="hint">
        {(card.securityRequirements ?? []).length === 0
          ? 'None: anyone who reaches this agent may call it.'
          : Object.keys(card.securitySchemes ?? {}).join(' or ')}
      </p>
    </section>
  );
}

function Extensions({ card }: { card: AgentCard }): JSX.Element {
  return (
    <section class="card" aria-label="Extensions">
      <h2>Extensions</h2>
      <ul class="skills">
        {(card.capabilities.extensions ?? []).map(({ uri, description, required }) => (
          <li key={uri}>
            <span class="mono">{uri}</span> {required === true && <Pill tone="wait">required</Pill>}
            <br />
            <span class="hint">{description}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
