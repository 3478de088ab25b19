/** Put in by a build that is to say another version of itself than this release. */
declare const PUSHPOINT_PRODUCT: string | undefined;

/**
 * productVersion is the release this agent belongs to, whatever version the package has that brought it. It is what the compatibility
 * check compares with the site (facts E); a test holds it equal to that of package.json.
 */
export const productVersion: string = typeof PUSHPOINT_PRODUCT === 'string' ? PUSHPOINT_PRODUCT : '0.1.0';
