export { Gatherer } from './gatherer.ts';
export type { Database, Sql, Statement } from './sql.ts';
export { changeBackend } from './backend.ts';
export { openDatabase } from './open.ts';
export { migrate, migrationSteps, type Migrations } from './migrate.ts';
export { isForeignKeyViolation, isLocked, isUniqueViolation } from './failures.ts';
export { countRows, exportDatabase, type Carried } from './transfer/export.ts';
export { importDatabase, whatIsThere, type Part } from './transfer/import.ts';
