export { Ddm, type DdmParts } from './ddm.ts';
export { DdrBox, type DdrBoxParts } from './ddr-box.ts';
