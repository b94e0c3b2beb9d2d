/**
 * A chat, for the browser. Its address names the agent and the chat, so it is the same chat after a reload. The page keeps no
 * messages: what it shows then is what the transport brings.
 */
import { useChat } from '@ai-sdk/react';
import { ChatTransport } from 'longhaul/ai-sdk/chat';
import { createRoot } from 'react-dom/client';

const parameters = new URLSearchParams(location.search);
const transport = new ChatTransport({ url: parameters.get('agent') ?? '' });

function Chat() {
  const { messages, sendMessage, status, error } = useChat({
    id: parameters.get('chat') ?? '',
    transport,
    resume: true,
  });
  return (
    <main data-status={status}>
      {messages.map(({ id, role, parts }) => (
        <article key={id} data-role={role}>
          {parts.map((part, index) => part.type === 'text' && <p key={index}>{part.text}</p>)}
        </article>
      ))}
      {error && <p role="alert">{error.message}</p>}
      <button onClick={() => void sendMessage({ text: 'A story!' })}>Send</button>
    </main>
  );
}

const root = document.querySelector('#root');
if (root !== null) createRoot(root).render(<Chat />);
