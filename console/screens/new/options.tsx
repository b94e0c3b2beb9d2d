/** Fields of a message beyond its text: data, a webhook, a start and a deadline, a conversation. */
import type { JSX } from 'preact';
import type { Draft } from '../../lib/draft.ts';

interface OptionsProps {
  draft: Draft;
  onChange: (values: Partial<Draft>) => void;
}

export function Options({ draft, onChange }: OptionsProps): JSX.Element {
  return (
    <details class="more">
      <summary>Data, webhook, start and conversation</summary>
      <label class="field">
        <span>Data (JSON)</span>
        <textarea
          rows={4}
          class="mono"
          spellcheck={false}
          placeholder='{"order": "1002"}'
          value={draft.data}
          onInput={(event) => onChange({ data: event.currentTarget.value })}
        />
      </label>
      <div class="field-row">
        <label class="field grow">
          <span>Webhook</span>
          <input
            type="url"
            placeholder="https://example.com/hook"
            value={draft.webhook}
            onInput={(event) => onChange({ webhook: event.currentTarget.value })}
          />
        </label>
        <label class="field">
          <span>Events</span>
          <select
            value={draft.events}
            onChange={(event) => onChange({ events: event.currentTarget.value as Draft['events'] })}
          >
            <option value="state">Changes of state</option>
            <option value="all">All</option>
            <option value="end">The end</option>
          </select>
        </label>
      </div>
      <div class="field-row">
        <label class="field">
          <span>Start at</span>
          <input
            type="datetime-local"
            value={draft.startAt}
            onInput={(event) => onChange({ startAt: event.currentTarget.value })}
          />
        </label>
        <label class="field">
          <span>Deadline</span>
          <input
            type="datetime-local"
            value={draft.deadline}
            onInput={(event) => onChange({ deadline: event.currentTarget.value })}
          />
        </label>
      </div>
      <label class="field">
        <span>Conversation (context id)</span>
        <input
          class="mono"
          value={draft.contextId}
          onInput={(event) => onChange({ contextId: event.currentTarget.value })}
        />
      </label>
    </details>
  );
}
