/** Messages, tasks and streams of a whole system. */
import './scripted/conversations.ts';
import './scripted/streams.ts';
