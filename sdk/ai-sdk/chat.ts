/** `longhaul/ai-sdk/chat`: `useChat` of the AI SDK with an agent behind A2A (docs/frameworks/ai-sdk.md). For browsers. */
export { ChatTransport, type ChatTransportOptions } from './chat/transport.ts';
export type { ChatChunk, ChatMessage, ChatPart } from './chat/types.ts';
