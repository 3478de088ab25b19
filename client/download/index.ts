export { Download, type DownloadRules } from './download.ts';
