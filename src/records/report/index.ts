export { ReportRecord, type ReportPage, type ReportWish } from './record.ts';
export type { Report } from './report.ts';
