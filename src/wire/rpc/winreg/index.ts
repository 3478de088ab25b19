export * from './definitions.ts';
export { openRegistry, RegKey, RemoteRegistry, type Hive } from './registry.ts';
export { numberOf, RegistryType, textOf, type RegistryValue } from './value.ts';
