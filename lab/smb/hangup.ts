/** Hangup ends the connection without an answer, as the protocol asks for in places; `why` is for the log. */
export class Hangup extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'Hangup';
  }
}
