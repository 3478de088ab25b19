import { raise } from '#base/errors';
import type { Sql } from '#store/database';
import { pointAddress } from './address.ts';
import type { SiteSettings } from './settings.ts';

/** PointKind is what a point does for clients. */
export type PointKind = 'mp' | 'slp' | 'fsp';

/** Point is where clients reach a site. */
export interface Point {
  site: string;
  kind: PointKind;
  address: string;
  on: boolean;
  pin: string | undefined;
}

/** PointWish is what is to be changed of a point; an empty pin is none any more. */
export interface PointWish {
  address?: string | undefined;
  on?: boolean | undefined;
  pin?: string | undefined;
}

interface PointRow {
  site: string;
  kind: PointKind;
  address: string;
  is_on: boolean;
  pin: string | null;
}

function pointOf({ site, kind, address, is_on, pin }: PointRow): Point {
  return { site, kind, address, on: is_on, pin: pin ?? undefined };
}

/** pointsOf gives the points of one site, or of all. */
export async function pointsOf(sql: Sql, site: string | undefined): Promise<Point[]> {
  const rows = await sql.exec<PointRow>(
    { name: 'site_points', text: 'select * from site_point where $1::text is null or site = $1 order by site, kind' },
    [site],
  );
  return rows.map(pointOf);
}

/** writePoint sets a point of a site; what is not said stays. */
export async function writePoint(tx: Sql, site: string, kind: PointKind, wish: PointWish, now: Date): Promise<Point> {
  const address = wish.address === undefined ? undefined : pointAddress(wish.address);
  const [old] = await tx.query<{ address: string }>('select address from site_point where site = $1 and kind = $2', [site, kind]);
  const reached = address ?? old?.address;
  if (reached === undefined) throw raise('PP_SITE_POINT_ADDRESS', { address: '', why: 'none was given' });
  const [row] = await tx.query<PointRow>(
    `insert into site_point (site, kind, address, is_on, pin, changed_at) values ($1, $2, $3, coalesce($4, true), nullif($5, ''), $6)
     on conflict (site, kind) do update set address = excluded.address, is_on = coalesce($4, site_point.is_on),
       pin = nullif(coalesce($5, site_point.pin), ''), changed_at = excluded.changed_at returning *`,
    [site, kind, reached, wish.on, wish.pin, now],
  );
  return pointOf(row!);
}

/** Clients of a native site come over https only, so an address that says http would lead them to a door that stays shut. */
function isShut({ kind, on, address }: Point): boolean {
  return kind === 'mp' && on && !address.startsWith('https:');
}

/** refuseShut refuses a point of the own site that no client of a native site could use. */
export function refuseShut(point: Point, { points }: Pick<SiteSettings, 'points'>): void {
  if (points.mode !== 'native' || !isShut(point)) return;
  const why = 'this site is in native mode, in which clients come over https only';
  throw raise('PP_SITE_POINT_ADDRESS', { address: point.address, why });
}

/** refuseHalfNative refuses native mode while clients are told of a management point without https. */
export function refuseHalfNative(points: readonly Point[], settings: Pick<SiteSettings, 'points'>): void {
  const plain = settings.points.mode === 'native' ? points.find(isShut) : undefined;
  if (!plain) return;
  const why = `native needs a management point with an https address, and clients are told ${plain.address}; use pushpoint point set mp --address https://…`;
  throw raise('PP_SITE_SETTING', { setting: 'points.mode', why });
}
