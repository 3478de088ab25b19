export { acceptPostVerbs } from './accept.ts';
export { ALIAS } from './alias.ts';
export { networkOf, plainAddress, Rate } from './rate.ts';
export { Framing } from './framing.ts';
export { ClientTrust, revocationLists } from './client-trust.ts';
export { endUnread } from './unread.ts';
export { createListener, renew, type ListenerParts, type ListenerTls, type Patience } from './listener.ts';
export { HttpPeer, type Reply } from './peer.ts';
export { answerUnreadable } from './unreadable.ts';
