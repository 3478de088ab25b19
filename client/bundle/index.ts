export { MARK, buildBundle, type BundleName } from './bundle.ts';
