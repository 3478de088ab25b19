export { locatorRoutes, type LocatorParts } from './routes.ts';
