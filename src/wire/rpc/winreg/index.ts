export * from './definitions.ts';
export { openRegistry, type RegKey, RemoteRegistry, type Hive } from './registry.ts';
export { RegistryType, type RegistryValue } from './value.ts';
