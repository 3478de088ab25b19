import * as Type from 'typebox';
import { FileName, Instant, Sha256, SiteCode, Version } from './fields.ts';

/** ContentManifest lists what `/CCM_Client/` of an MP serves; the trust anchor stays mobileclient.tcf. */
export const ContentManifest = Type.Object({
  site: SiteCode,
  version: Version,
  madeAt: Instant,
  files: Type.Array(
    Type.Object({ name: FileName, sha256: Sha256, size: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }) }),
    { maxItems: 256 },
  ),
});
export type ContentManifest = Type.Static<typeof ContentManifest>;
