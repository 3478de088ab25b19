/**
 * Where the client's Windows paths lie on a system that has none. The agent is written for one layout (client/host/layout.ts); this is the only
 * place that knows the other. The bootstrap (client/linux/ccmsetup.sh) has the same folders.
 */
const PLACES: readonly [RegExp, string][] = [
  [/^C:\\Windows\\CCM\\logs(?=\\|$)/i, '/var/log/pushpoint-client'],
  [/^C:\\Windows\\CCM(?=\\|$)/i, '/var/lib/pushpoint-client'],
  [/^C:\\Windows\\ccmsetup(?=\\|$)/i, '/var/lib/pushpoint-setup'],
  [/^C:\\Windows\\SMSCFG\.INI$/i, '/etc/pushpoint-client.ini'],
];

/** placeOf gives the path on this system of one of the client's; a path of this system stays as it is, any other is nowhere. */
export function placeOf(path: string, root: string): string {
  if (path.startsWith('/')) return path;
  for (const [place, folder] of PLACES) {
    if (place.test(path)) return root + path.replace(place, folder).replaceAll('\\', '/');
  }
  throw Object.assign(new Error(`${path} is no place of the client on this system`), { code: 'ENOENT' });
}
