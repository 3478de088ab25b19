export { readProperties, type ClientProperties } from './properties.ts';
