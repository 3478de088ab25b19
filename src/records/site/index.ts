export { defaultSettings, excludedBy, type SettingsPatch, type SiteSettings } from './settings.ts';
export { clientSiteOf, pointsFor, primaryBelow, secondaryOf, type Branch } from './points.ts';
export { pointAddress, SiteRecord, validateCode, type Point, type PointKind, type Site, type SiteToken } from './record.ts';

/** migrations are the tables of this record. */
export const migrations = { record: 'site', folder: new URL('./migrations/', import.meta.url) };
