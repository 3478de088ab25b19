export { cabinet } from './cabinet.ts';
export { writeAgentPackage } from './package.ts';
export { readRuntime, type WindowsRuntime } from './runtime.ts';
