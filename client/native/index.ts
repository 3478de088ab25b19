export { buildNative, buildTrial, missingTools, type NativeFiles, type Signing } from './build.ts';
export { windowsPackage, writeWindowsPackage, type WindowsPackage } from './package.ts';
