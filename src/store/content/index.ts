export { ContentStore, lowDisk, roomAt, type Stored } from './content.ts';
