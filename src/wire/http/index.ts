export { acceptPostVerbs } from './accept.ts';
export { ALIAS } from './alias.ts';
export { networkOf, plainAddress, Rate } from './rate.ts';
export { Framing } from './framing.ts';
export { endUnread } from './unread.ts';
export { HttpPeer, type Reply } from './peer.ts';
