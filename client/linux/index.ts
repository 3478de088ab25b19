export { writeLinuxPackage, type Runtime } from './package.ts';
