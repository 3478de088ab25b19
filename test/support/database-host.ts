/**
 * The process that owns the PostgreSQL of a test run. Test processes start it when nobody has, and stay connected to it; it ends by
 * itself when neither a test nor a test runner is left, and removes what it made. A crashed one leaves a server that the next one takes over.
 * Called as: database-host.ts FOLDER NAME
 */
import { lstat, mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import { Client } from 'pg';
import { systemClock } from '#base/clock';
import { JsonLog } from '#base/log';
import { openDatabase } from '#store/database';

const [folder = '', name = ''] = process.argv.slice(2);
const LOOK_MS = 250;
const log = new JsonLog(systemClock, (line) => process.stderr.write(line));

const sockets = new Set<net.Socket>();
const runners = new Set<number>();
let answer: string | undefined;
let closing = false;

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const server = net.createServer((socket) => {
  // Who comes now waits for the next host.
  if (closing) return void socket.destroy();
  sockets.add(socket);
  socket.on('error', () => {});
  socket.on('close', () => sockets.delete(socket));
  socket.on('data', (data) => {
    const runner = Number(data.toString('latin1'));
    if (runner > 0) runners.add(runner);
  });
  if (answer !== undefined) socket.write(answer);
});

// Somebody else was quicker: that one does the work.
server.on('error', () => process.exit(0));
await new Promise<void>((resolve) => server.listen({ path: `\0${name}` }, resolve));

await mkdir(folder, { recursive: true, mode: process.getuid!() === 0 ? 0o711 : 0o700 });
if ((await lstat(folder)).uid !== process.getuid!()) throw new Error(`${folder} belongs to another user`);
const db = await openDatabase({ dataDir: folder, clock: systemClock, log });
const url = new URL(db.url);
const admin = new Client({ host: url.searchParams.get('host')!, user: 'postgres', database: 'postgres' });
await admin.connect();
const left = await admin.query<{ name: string }>("select datname as name from pg_database where datname ~ '^(test|template)_'");
// One that a test of an earlier host still uses cannot be dropped, and need not be.
for (const { name } of left.rows) await admin.query(`drop database if exists "${name}"`).catch(() => {});
await admin.end();

answer = `${db.url}\n`;
for (const socket of sockets) socket.write(answer);

for (;;) {
  await systemClock.sleep(LOOK_MS);
  for (const pid of runners) if (!alive(pid)) runners.delete(pid);
  if (sockets.size === 0 && runners.size === 0) break;
}
closing = true;
await db.close();
await rm(folder, { recursive: true, force: true });
process.exit(0);
