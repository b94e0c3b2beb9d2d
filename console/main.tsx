/**
 * The console (docs/use/console.md): a single page on the public API of the agent. ARCHITECTURE.md describes its folders.
 *
 *   lib/ pure functions ◀─ api/ calls, feed and session ◀─ ui/ small parts ◀─ shell/ navigation, keys ◀─ screens/
 */
import { render } from 'preact';
import { App } from './app.tsx';

const root = document.getElementById('app');
if (root !== null) render(<App />, root);
