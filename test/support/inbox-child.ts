/** A process that takes files from an inbox and never finishes one; inbox.test.ts starts it. Called as: inbox-child.ts FOLDER */
import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { Inbox } from '#store/inbox';

const inbox = new Inbox({ dir: process.argv[2]!, clock: systemClock, log: silentLog, quietMs: 60, pollMs: 150 });
inbox.take(({ name }) => {
  process.send!(name);
  return new Promise(() => {});
});
