export { main } from './main.ts';
export { status } from './status.ts';
