import type { FastifyInstance } from 'fastify';
import type { Meter } from '#base/meter';
import { fallbackStatusRoutes } from '#points/fallback-status';
import type { HierarchyPoint } from '#points/hierarchy';
import { locatorRoutes } from '#points/locator';
import { createManagementPoint, type Paces } from '#points/management';
import { createListener } from '#wire/http';
import { keyPin } from './lines.ts';
import type { Role } from './roles.ts';
import { version, type OpenSite } from './site-folder.ts';
import type { Tls } from './tls-files.ts';

/** PointsWish is what one listener is to answer. */
export interface PointsWish {
  roles: ReadonlySet<Role>;
  build: string;
  paces: Paces;
  meter: Meter;
  lines: HierarchyPoint | undefined;
  tls?: Tls;
  certificate?: Tls | undefined;
}

/** openPoints makes a listener with the points that this process has: management, locator, fallback status, and the one for child sites. */
export function openPoints(site: OpenSite, wish: PointsWish): Promise<FastifyInstance> {
  const { records, database, content, clock, random, log } = site;
  const { roles, lines, tls, ...rest } = wish;
  const parts = {
    ...records,
    database,
    content,
    clock,
    random,
    version,
    log: log.with({ point: 'mp' }),
    ...rest,
    ...(tls && { tls }),
  };
  const also = (app: FastifyInstance): void => {
    lines?.routes(app, tls && { pin: keyPin(tls.cert) });
    if (roles.has('mp')) locatorRoutes(app, parts, '/ccm_system');
    if (roles.has('slp')) locatorRoutes(app, parts, '/sms_slp');
    if (roles.has('fsp')) fallbackStatusRoutes(app, parts);
  };
  return roles.has('mp') ? createManagementPoint({ ...parts, also }) : createListener(parts, also);
}
