import type { Command } from 'commander';
import { EXIT, print, usage } from '../output.ts';
import type { Verbs } from '../program.ts';

interface Line {
  path: string[];
  words: string[];
}

function visible(command: Command): Command[] {
  return command.commands.filter((c) => c.name() !== 'help');
}

function lines(command: Command, path: string[] = []): Line[] {
  const words = [...visible(command).map((c) => c.name()), ...command.options.flatMap((o) => (o.long ? [o.long] : []))];
  return [{ path, words }, ...visible(command).flatMap((c) => lines(c, [...path, c.name()]))];
}

function bash(program: Command): string {
  const cases = lines(program).map((l) => `    "${l.path.join(' ')}") words="${l.words.join(' ')}" ;;`);
  return [
    '_pushpoint() {',
    '  local current=${COMP_WORDS[COMP_CWORD]} path="" words="" word',
    '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do case $word in -*) ;; *) path="${path:+$path }$word" ;; esac; done',
    '  while :; do',
    '    case "$path" in',
    ...cases,
    '    esac',
    '    [ -n "$words" ] || [ -z "$path" ] && break',
    '    case "$path" in *" "*) path=${path% *} ;; *) path="" ;; esac',
    '  done',
    '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
    '  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))',
    '}',
    'complete -F _pushpoint pushpoint',
  ].join('\n');
}

/** completionVerb: completion bash|zsh prints a script for the shell. */
export function completionVerb(verbs: Verbs, program: () => Command): void {
  verbs.add(
    undefined,
    'completion <shell>',
    'print the completion script for bash or zsh',
    ['source <(pushpoint completion bash)', 'pushpoint completion zsh >> ~/.zshrc'],
    async (_context, _options, shell) => {
      if (shell === 'bash') print(bash(program()));
      else if (shell === 'zsh') print(`autoload -U +X bashcompinit && bashcompinit\n${bash(program())}`);
      else throw usage(`there is a completion for bash and for zsh, not for ${shell}`);
      return EXIT.ok;
    },
  );
}
