import { isIP } from 'node:net';
import { hasNear } from './compile.ts';
import { networkOf } from './network.ts';
import type { Node, Test } from './tree.ts';

/** MOST_BRANCHES is into how many parts a filter is taken apart at most. */
const MOST_BRANCHES = 8;

type Literals = readonly Node[];

/** disjuncts gives the ways to fit a filter, each a list of tests that must all be true; undefined when there are too many. */
function disjuncts(node: Node, negated: boolean): Literals[] | undefined {
  if (node.is === 'not') return disjuncts(node.part, !negated);
  if (node.is === 'test') return [[negated ? { is: 'not', part: node } : node]];
  const both = (node.is === 'and') !== negated;
  let found: Literals[] = both ? [[]] : [];
  for (const part of node.parts) {
    const more = disjuncts(part, negated);
    if (!more) return undefined;
    found = both ? found.flatMap((one) => more.map((other) => [...one, ...other])) : [...found, ...more];
    if (found.length > MOST_BRANCHES) return undefined;
  }
  return found;
}

/** isNarrow tells whether only a few machines can fit this test, which an index finds: those of a name, an address or a small network. */
function isNarrow(node: Node): boolean {
  if (node.is !== 'test' || !node.field.narrow || (node.operator !== '=' && node.operator !== 'in')) return false;
  return node.field.type !== 'address' || node.values.every(({ text }) => isIP(text) !== 0 || isSmall(text));
}

function isSmall(text: string): boolean {
  const network = networkOf(text);
  return network !== undefined && network.length >= (network.family === 4 ? 24 : 64);
}

/** Branch is one way to fit a filter. */
export interface Branch {
  node: Node;
  /** Only a few machines can fit it, and an index finds them. */
  narrow: boolean;
  /** The server knows how many machines fit it, and has an index to find them. */
  known: boolean;
  /** It is a list of tests that must all be true. */
  joint: boolean;
}

function testOf(node: Node): Test | undefined {
  return node.is === 'not' ? testOf(node.part) : node.is === 'test' ? node : undefined;
}

/** isUseful tells whether a way to fit says something that machines can be found by, other than going through all of them. */
function isUseful(literals: Literals): boolean {
  return literals.some((node) => isNarrow(node) || testOf(node)?.field.alike !== undefined);
}

/** branchesOf gives the ways to fit a filter. Where taking it apart would not help to find machines it stays whole, as one. */
export function branchesOf(node: Node): Branch[] {
  const found = disjuncts(node, false);
  if (!found || (found.length > 1 && !found.every(isUseful))) return [{ node, narrow: false, known: false, joint: false }];
  return found.map((literals) => ({
    node: literals.length === 1 ? literals[0]! : { is: 'and', parts: [...literals] },
    narrow: literals.some(isNarrow),
    known:
      literals.some((one) => one.is === 'test' && one.field.near?.exact && hasNear(one)) ||
      literals.every((one) => testOf(one)?.field.known),
    joint: true,
  }));
}
