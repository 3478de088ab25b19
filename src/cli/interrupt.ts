const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

/**
 * beforeSignal has something done before SIGINT or SIGTERM ends this process; the process ends by that signal then, as a shell expects it of a
 * command that was interrupted. A second signal ends it at once. What is given back takes it off again.
 */
export function beforeSignal(work: () => Promise<void> | void): () => void {
  const forget = () => {
    for (const one of SIGNALS) process.off(one, heard);
  };
  const heard = (signal: NodeJS.Signals) => {
    forget();
    void Promise.resolve()
      .then(work)
      .catch(() => {})
      .finally(() => process.kill(process.pid, signal));
  };
  for (const one of SIGNALS) process.on(one, heard);
  return forget;
}
