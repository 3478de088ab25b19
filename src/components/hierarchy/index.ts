export { Hierarchy, type HierarchyComponentParts } from './hierarchy.ts';
export { askToJoin, type Joined } from './join.ts';
