export { checkRotation, rotateVault, type Reseal, type Rotation } from './rotate.ts';
export { createVaultKeys, openSealer, openVault, readVaultPublicKey } from './vault.ts';
export type { Sealer, Vault } from './seal.ts';
