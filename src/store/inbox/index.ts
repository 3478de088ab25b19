export { removeDrafts, syncFolder, writeAtomic } from './atomic.ts';
export { Inbox, type InboxFile, type InboxOptions } from './inbox.ts';
