export * from './definitions.ts';
export { entrySize, writeServices, type ListedService, type ServiceEntry } from './enumeration.ts';
export { openServiceManager, ServiceManager, type NewService } from './manager.ts';
export * from './rights.ts';
export { Service, type ServiceChange, type ServiceConfig } from './service.ts';
export { type ServiceReport } from './status.ts';
