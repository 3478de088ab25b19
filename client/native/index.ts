export { buildNative, missingTools, type NativeFiles, type Signing } from './build.ts';
