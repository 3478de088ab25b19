/**
 * The verbs of SMS and ConfigMgr that Node's parser refuses (HPE_INVALID_METHOD), each with a verb of the same length that the parser knows
 * and that nobody sends to a management point. Same length, so that a request keeps its size and nothing moves.
 */
export const ALIAS = { SMS_POST: 'M-SEARCH', CCM_POST: 'CHECKOUT', BITS_POST: 'SUBSCRIBE' } as const;

const pairs = Object.entries(ALIAS);

/**
 * exchanged gives the other one of a pair, in both directions: who really sends M-SEARCH is turned into SMS_POST and thus refused by the
 * parser, so that behind it an alias always means the verb it stands for.
 */
export const exchanged: ReadonlyMap<string, string> = new Map([
  ...pairs,
  ...pairs.map(([verb, alias]): [string, string] => [alias, verb]),
]);

/** verbOf is the verb that a request's method stands for. */
export function verbOf(method: string | undefined): string | undefined {
  return pairs.find(([, alias]) => alias === method)?.[0];
}
