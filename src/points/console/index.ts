export { createConsole, type ConsoleParts } from './server.ts';
