/** The bindings in front of a whole system. */
import './scripted/operations.ts';
import './scripted/v03.ts';
import './scripted/clients.ts';
import './scripted/gemini-enterprise.ts';
