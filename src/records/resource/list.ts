import type { Sql } from '#store/database';
import { askedOf, type Asked, type Bounds, type DeviceQuery } from './asked.ts';
import { devicesPicked, type Device } from './device.ts';
import { branchesOf } from './filter/branches.ts';
import { fittingOf, isSure, wayOf } from './kinds.ts';
import { nameKey } from './names.ts';
import { Picks } from './picks.ts';

/** DevicePage is a page of devices in the order of their names. */
export interface DevicePage {
  items: Device[];
  next?: string;
}

const PAGE = 1000;

function cursorOf(device: Device): string {
  return Buffer.from(JSON.stringify([nameKey(device.name), device.domainKey])).toString('base64url');
}

/** first gives the first machines that are asked for, by name. */
async function first(sql: Sql, asked: Asked): Promise<Device[]> {
  const text = (make: (picks: Picks) => string) => {
    const values: unknown[] = [];
    return { text: make(new Picks(asked, (value, type) => `$${values.push(value)}::${type}`)), values };
  };
  const read = (make: (picks: Picks) => string) => {
    const picked = text(make);
    return devicesPicked(sql, picked.text, picked.values);
  };
  const { node } = asked;
  if (!node) return read((picks) => picks.all());
  const branches = branchesOf(node);
  const wide = branches.filter(({ narrow }) => !narrow);
  const fitting = new Map((await fittingOf(sql, wide, asked)).map((found, i) => [wide[i], found]));
  const ways = branches
    .map((branch) => wayOf(branch, fitting.get(branch) ?? {}, asked))
    // Where no system or no place fits, no machine does.
    .filter((way) => Object.values(way.fitting).every(({ keys }) => keys.length > 0));
  if (ways.length === 0) return [];
  if (!ways.every((way) => isSure(way, asked.bounds))) {
    const near = await read((picks) => picks.next(ways, node));
    if (near.length >= asked.limit) return near;
    const beyond = text((picks) => picks.beyond(ways));
    const [there] = await sql.query<{ more: boolean }>(beyond.text, beyond.values);
    if (!there!.more) return near;
  }
  return read((picks) => picks.any(ways));
}

/**
 * listDevices gives one page of devices, by name. A machine that just then gets a system or a place that no other has may be left out, as if the
 * page had been read before.
 */
export async function listDevices(sql: Sql, query: DeviceQuery, now: Date, bounds: Bounds): Promise<DevicePage> {
  const limit = Math.min(Math.max(Math.trunc(query.limit ?? 100), 1), PAGE);
  const page = await first(sql, askedOf(query, now, limit + 1, bounds));
  const items = page.slice(0, limit);
  return page.length > limit ? { items, next: cursorOf(items.at(-1)!) } : { items };
}
