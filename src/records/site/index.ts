export { defaultSettings, excludedBy, type SettingsPatch, type SiteSettings } from './settings.ts';
export { clientSiteOf, pointsFor, primaryBelow, secondaryOf, type Branch } from './points.ts';
export { pointAddress, validateCode } from './address.ts';
export type { Point, PointKind } from './point.ts';
export { SiteRecord, type Site } from './record.ts';
export type { SiteToken } from './tokens.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'site', folder: new URL('./migrations/', import.meta.url) };
