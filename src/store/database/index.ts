export type { Database, Sql, Statement, TransactionOptions } from './sql.ts';
export { openDatabase, type OpenOptions } from './open.ts';
export { migrate, migrationSteps, type Migrations } from './migrate.ts';
export { isForeignKeyViolation, isUniqueViolation } from './failures.ts';
