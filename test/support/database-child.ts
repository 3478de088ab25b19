/**
 * A process that opens a managed database and does what its parent says over IPC; the managed-database tests start and kill it.
 * Called as: database-child.ts FOLDER
 */
import { systemClock } from '#base/clock';
import { PushpointError } from '#base/errors';
import { JsonLog } from '#base/log';
import { migrate, openDatabase, type Database } from '#store/database';

interface Order {
  id: number;
  sql?: string;
  migrations?: string;
}

const log = new JsonLog(systemClock, (line) => process.send?.({ line }), 'debug');

async function obey(db: Database, { sql, migrations }: Order): Promise<unknown> {
  if (sql !== undefined) return await db.query(sql);
  if (migrations !== undefined) return await migrate(db, [{ record: 'thing', folder: new URL(migrations) }], systemClock);
  await db.close();
  process.disconnect();
}

process.on('disconnect', () => process.exit(0));
try {
  const db = await openDatabase({ dataDir: process.argv[2]!, clock: systemClock, log });
  process.on('message', (order: Order) => {
    obey(db, order).then(
      (value) => process.connected && process.send!({ id: order.id, value }),
      (error: Error) => process.send!({ id: order.id, error: error.message }),
    );
  });
  process.send!({ ready: true });
} catch (error) {
  process.send!({ failed: error instanceof PushpointError ? `${error.code}: ${error.message}` : String(error) });
  process.disconnect();
}
