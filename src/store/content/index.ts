export { ContentStore, type Stored } from './content.ts';
