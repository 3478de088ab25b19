import { systemClock } from '#base/clock';
import { silentLog } from '#base/log';
import { AccountRecord } from '#records/account';
import { openDatabase } from '#store/database';

/** A process that logs on to many machines with one account, as fast as it is let; it tells when each logon begins and ends, and waits to be heard. */
const [, , url, account, name, machines] = process.argv as [string, string, string, string, string, string];
const database = await openDatabase({ dataDir: '/nonexistent', url, clock: systemClock, log: silentLog, connections: 4 });
const record = new AccountRecord(database, systemClock);
const heard = new Map<string, () => void>();
process.on('message', (key: string) => heard.get(key)?.());
process.on('disconnect', () => process.exit(1));

function tell(what: 'ready' | 'in' | 'out', key: string): Promise<void> {
  return new Promise((resolve) => {
    heard.set(key, resolve);
    process.send!([what, key]);
  });
}

await tell('ready', 'ready');
await Promise.all(
  Array.from({ length: Number(machines) }, async (_, i) => {
    const key = `${name}${i}`;
    if (!(await record.enter(Number(account), key))) throw new Error(`${key} was not let in`);
    await tell('in', key);
    await tell('out', key);
    await record.worked(Number(account), key);
  }),
);
await database.close();
process.exit(0);
