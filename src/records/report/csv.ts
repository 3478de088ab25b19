import type { Cell, Column, ReportRow } from './report.ts';

/**
 * What a spreadsheet would take for a formula: machines name themselves and say what went wrong, and nobody proves it. The full-width
 * forms count as well, because some spreadsheets read them alike.
 */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;
/** Nothing in a cell may steer the terminal that it is printed on, nor turn the order of letters around. */
const STEERING = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

function text(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return '';
  if (cell instanceof Date) return cell.toISOString();
  if (typeof cell === 'boolean') return cell ? 'yes' : 'no';
  const plain = String(cell).replace(STEERING, '?');
  return FORMULA.test(plain) ? `'${plain}` : plain;
}

function line(cells: string[]): string {
  return `${cells.map((cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')}\r\n`;
}

/** csvHead is the first line: the names of the columns. */
export function csvHead(columns: readonly Column[]): string {
  return line(columns.map(({ name }) => name));
}

/** csvLine is a row in the form of RFC 4180. A cell that a spreadsheet would take for a formula begins with an apostrophe. */
export function csvLine(columns: readonly Column[], row: ReportRow): string {
  return line(columns.map(({ name }) => text(row[name])));
}
