import * as Type from 'typebox';
import { Address, PointUrl, SiteCode, Version, text } from './fields.ts';

/**
 * Which site a machine belongs to, and whom it talks to there: asked of a server locator point (`/sms_slp/…`) or of any management point
 * (`/ccm_system/…`), with a plain GET that nobody signs, because who asks has no key yet.
 *
 *     GET …/location?address=10.1.2.3&address=2001:db8::7&adSite=Office
 *     GET …/sites/P01
 */

/** MOST_ADDRESSES is how many addresses one question may name. */
export const MOST_ADDRESSES = 32;

/** LocationQuery is what a machine tells of where it is; without an address that of the connection counts. */
export const LocationQuery = Type.Object({
  address: Type.Array(Address, { maxItems: MOST_ADDRESSES }),
  adSite: Type.Optional(text(128)),
});
export type LocationQuery = Type.Static<typeof LocationQuery>;

const Points = Type.Array(PointUrl, { maxItems: 32 });

/** Location is the answer: a machine in nobody's boundaries has no `site`, and asks again in ten minutes (facts E). */
export const Location = Type.Object({
  /** The primary site that a client in these addresses is assigned to. */
  site: Type.Optional(SiteCode),
  /** The secondary site in whose boundaries the machine is. */
  secondary: Type.Optional(SiteCode),
  /** Version of the primary; absent where the answering site does not know it. */
  version: Type.Optional(Version),
  /** Those of the primary, the default one first. */
  managementPoints: Points,
  /** Those of the secondary, to be asked before the others. */
  proxyManagementPoints: Points,
  /** The other way to be heard, where the primary has one. */
  fallbackStatusPoint: Type.Optional(PointUrl),
});
export type Location = Type.Static<typeof Location>;

/** SiteInformation is what is known of one site; a code that nobody knows is 404 with PP_SITE_UNKNOWN. */
export const SiteInformation = Type.Object({
  site: SiteCode,
  type: Type.Union([Type.Literal('primary'), Type.Literal('secondary')]),
  /** Of a secondary: the primary that its machines are assigned to. */
  parent: Type.Optional(SiteCode),
  /** What the compatibility check compares; absent where the answering site does not know it (then the check fails with state 608). */
  version: Type.Optional(Version),
  /** The version's digits, as MPLIST shows them. */
  build: Type.Optional(Type.Integer({ minimum: 0, maximum: 2_147_483_647 })),
  /** The default one first. */
  managementPoints: Points,
  fallbackStatusPoint: Type.Optional(PointUrl),
});
export type SiteInformation = Type.Static<typeof SiteInformation>;
