export { Reporter, type ReportFrom } from './reporter.ts';
