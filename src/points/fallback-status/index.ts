export { fallbackStatusRoutes, type FallbackStatusParts } from './routes.ts';
