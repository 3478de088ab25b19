export type { Database, Sql, Statement } from './sql.ts';
export { openDatabase } from './open.ts';
export { migrate, migrationSteps, type Migrations } from './migrate.ts';
export { isForeignKeyViolation, isUniqueViolation } from './failures.ts';
