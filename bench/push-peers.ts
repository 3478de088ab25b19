import type { LabFound } from './push-lab.ts';
export interface PeerCost {
  name: string;
  hosts: number;
  right: number;
  cpuMs: number;
  wallMs: number;
  load: number;
}
export async function peers(_lab: LabFound, _folder: string, _payload: number): Promise<PeerCost[]> {
  return [];
}
