export { createSite, type CreatedSite, type NewSite } from './create-site.ts';
export { readRunning, runSite, startConsoleOnly, type RunningSite, type RunWish } from './run-site.ts';
export { generateCcrFiles, type Generated } from './generate-ccrs.ts';
