export { hierarchyPoint, type HierarchyParts, type HierarchyPoint } from './point.ts';
